#include "sandboxd/features.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <functional>

#include "base/log.h"
#include "contract/plan.h"
#include "os/file.h"
#include "os/process.h"
#include "sandboxd/cgroups.h"
#include "sandboxd/firewall.h"
#include "sandboxd/mount_calls.h"
#include "sandboxd/namespaces.h"
#include "sandboxd/netlink.h"
#include "sandboxd/scratch_image.h"
#include "sandboxd/seccomp_policy.h"

namespace skerry::sandbox {
namespace {

Result<void> without_value(auto&& result) {
  if (!result) return pass(std::move(result).error());
  return {};
}

// Of a call that was made with nothing to do: any answer but "no such call" will do.
Result<void> known(long result, const char* call) {
  if (result < 0 && errno == ENOSYS) return fail_errno("{}", call);
  return {};
}

Result<void> probe_root() {
  if (::geteuid() != 0) return fail(ErrorCode::kForbidden, "run through sudo");
  return {};
}

// fsopen, fsconfig, fsmount, open_tree, move_mount (Linux 5.2).
Result<void> probe_mount_calls() {
  TRY_ASSIGN(const UniqueFd made, new_mount("tmpfs", {{"size", "4k"}}, kNoSuidNoDev));
  TRY_ASSIGN(const UniqueFd copied, copy_mount(AT_FDCWD, "/"));
  return known(::syscall(SYS_move_mount, -1, "", -1, "", 0), "move_mount");
}

// Of the very file system that layers are on: not every one can.
Result<void> probe_id_mapping(const Settings& settings) {
  TRY(make_directories(settings.state_dir, 0755));
  TRY_ASSIGN(const UniqueFd mapping, make_user_namespace(kLayerIdBase, kSlotIdBase, kIdsPerRange));
  TRY_ASSIGN(const UniqueFd tree, copy_mount(AT_FDCWD, settings.state_dir));
  return set_attributes(tree.get(), MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY, mapping.get());
}

Result<void> probe_seccomp() {
  uint32_t action = SECCOMP_RET_KILL_PROCESS;
  if (::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) != 0) return fail_errno("seccomp");
  return without_value(compile_seccomp_policy());
}

Result<void> probe_pidfds() {
  const UniqueFd own(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!own) return fail_errno("pidfd_open");
  if (::syscall(SYS_pidfd_send_signal, own.get(), 0, nullptr, 0) != 0) return fail_errno("pidfd_send_signal");
  return {};
}

Result<void> probe_overlay() {
  const UniqueFd overlay(static_cast<int>(::syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC)));
  if (!overlay) return fail_errno("fsopen overlay");
  return {};
}

// In a network namespace of its own, which takes the pair with it.
Result<void> probe_veth() {
  TRY_ASSIGN(const UniqueFd here, make_net_namespace());
  TRY_ASSIGN(const UniqueFd there, make_net_namespace());
  return in_net_namespace(here.get(), [&]() -> Result<void> {
    TRY_ASSIGN(Netlink netlink, Netlink::open());
    return netlink.add_veth("probe", "eth0", there.get(), 1500);
  });
}

Result<void> probe_favored_moves(const Settings& settings) {
  struct statfs fs {};
  if (::statfs((settings.run_dir + "/cgroup").c_str(), &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC) return {};
  return fail(ErrorCode::kUnavailable, "not mounted; skerryd mounts it at start on Linux 6.0 and later");
}

Result<void> probe_firewall(const Settings& settings) {
  Settings probe = settings;
  probe.tag = settings.tag + "probe";
  return remove_firewall(probe);
}

}  // namespace

std::vector<Feature> probe_features(const Settings& settings) {
  std::vector<Feature> out;
  const auto probe = [&](std::string name, const Result<void>& result, std::string replaced_by = {}) {
    out.push_back({std::move(name), result ? "" : result.error().message(), std::move(replaced_by), {}});
  };
  utsname kernel{};
  ::uname(&kernel);
  out.push_back({"kernel", {}, {}, kernel.release});
  probe("root", probe_root());
  probe("openat2", without_value(open_beneath(AT_FDCWD, ".", O_PATH | O_DIRECTORY)));
  probe("pidfds", probe_pidfds());
  probe("sealed memory files", without_value(make_sealed_memfd("probe", "x")));
  probe("close_range", known(::syscall(SYS_close_range, ~0U, ~0U, 0), "close_range"), "descriptors are closed one by one");
  probe("user namespaces", without_value(make_user_namespace(0, kSlotIdBase, kIdsPerRange)));
  probe("network namespaces", without_value(make_net_namespace()));
  probe("mount calls", probe_mount_calls());
  probe("id-mapped mounts", probe_id_mapping(settings));
  probe("overlay", probe_overlay());
  probe("seccomp", probe_seccomp());
  probe("veth", probe_veth());
  probe("nftables", probe_firewall(settings));
  auto cgroups = Cgroups::probe(settings);
  const std::string version = cgroups ? std::string((*cgroups)->version()) : "";
  probe("control groups", without_value(std::move(cgroups)));
  out.back().found = version;
  probe("favordynmods", probe_favored_moves(settings), "slower entry into control groups (10 ms a start)");
  probe("scratch disks", without_value(ScratchImages(settings).make(kMinScratchDiskBytes)), "functions with [runtime] scratch do not start");
  return out;
}

std::string features_text(const std::vector<Feature>& features) {
  std::string out;
  for (const Feature& f : features) {
    out += fmt::format(R"({{"feature":"{}","ok":{},"detail":")", f.name, f.lacking.empty());
    append_json_escaped(out, f.lacking.empty() ? f.found : f.lacking);
    out += fmt::format(R"(","replaced_by":"{}"}})", f.replaced_by) + "\n";
  }
  return out;
}

Result<void> require_features(const std::vector<Feature>& features) {
  std::string missing;
  for (const Feature& f : features)
    if (f.is_missing()) missing += fmt::format("{}{} ({})", missing.empty() ? "" : ", ", f.name, f.lacking);
  if (!missing.empty()) return fail(ErrorCode::kUnavailable, "this machine's kernel lacks {}", missing);
  return {};
}

}  // namespace skerry::sandbox
