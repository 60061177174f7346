#include "sandboxd/doctor.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <linux/magic.h>

#include "base/log.h"
#include "contract/plan.h"
#include "os/file.h"
#include "sandboxd/cgroups.h"
#include "sandboxd/firewall.h"
#include "sandboxd/namespaces.h"
#include "sandboxd/scratch_image.h"
#include "sandboxd/seccomp_policy.h"

namespace skerry::sandbox {
namespace {

enum class Need : uint8_t { kRequired, kReplaceable };

bool all_required = true;

void line(const char* feature, const Result<void>& result, Need need, const char* replaced_by) {
  std::string detail;
  append_json_escaped(detail, result ? "" : result.error().message());
  std::printf(R"({"feature":"%s","ok":%s,"detail":"%s","replaced_by":"%s"})" "\n", feature, result ? "true" : "false", detail.c_str(), replaced_by);
  if (!result && need == Need::kRequired) all_required = false;
}

Result<void> without_value(auto&& result) {
  if (!result) return pass(std::move(result).error());
  return {};
}

}  // namespace

int print_features(const Settings& settings) {
  utsname name{};
  ::uname(&name);
  std::printf(R"({"feature":"kernel","ok":true,"detail":"%s","replaced_by":""})" "\n", name.release);
  line("root", ::geteuid() == 0 ? Result<void>{} : fail(ErrorCode::kForbidden, "run through sudo"), Need::kRequired, "");
  line("user namespaces", without_value(make_user_namespace(0, kSlotIdBase, kIdsPerRange)), Need::kRequired, "");
  line("network namespaces", without_value(make_net_namespace()), Need::kRequired, "");
  auto cgroups = Cgroups::probe(settings);
  line(cgroups ? fmt::format("cgroup {}", (*cgroups)->version()).c_str() : "cgroup", without_value(std::move(cgroups)), Need::kRequired, "");
  struct statfs fs {};
  const bool favored = ::statfs((settings.run_dir + "/cgroup").c_str(), &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC;
  line("favordynmods", favored ? Result<void>{} : fail(ErrorCode::kUnavailable, "not mounted; skerryd mounts it at start on Linux 6.0 and later"), Need::kReplaceable,
       "slower entry into control groups (10 ms a start)");
  const UniqueFd overlay(static_cast<int>(::syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC)));
  line("overlay", overlay ? Result<void>{} : fail_errno("fsopen overlay"), Need::kRequired, "");
  const long mapped = ::syscall(SYS_mount_setattr, -1, "", AT_EMPTY_PATH, nullptr, 0);
  line("id-mapped mounts", mapped < 0 && errno == ENOSYS ? fail_errno("mount_setattr") : Result<void>{}, Need::kRequired, "");
  line("seccomp", without_value(compile_seccomp_policy()), Need::kRequired, "");
  line("scratch disks", without_value(ScratchImages(settings).make(kMinScratchDiskBytes)), Need::kReplaceable, "nothing: functions with [runtime] scratch do not start");
  Settings probe = settings;
  probe.tag = settings.tag + "probe";
  line("nftables", remove_firewall(probe), Need::kRequired, "");
  return all_required ? 0 : 1;
}

}  // namespace skerry::sandbox
