#include "sandboxd/mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file.h"
#include "sandboxd/mount_calls.h"

namespace skerry::sandbox {
namespace {

Result<void> make_folder(int dirfd, const std::string& path, mode_t mode, uint32_t owner) {
  if (::mkdirat(dirfd, path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("mkdir `{}`", path);
  if (::fchownat(dirfd, path.c_str(), owner, owner, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno("chown `{}`", path);
  if (::fchmodat(dirfd, path.c_str(), mode, 0) != 0) return fail_errno("chmod `{}`", path);
  return {};
}

Result<void> make_text(int dirfd, const char* path, std::string_view text, uint32_t owner) {
  TRY_ASSIGN(const UniqueFd fd, open_at(dirfd, path, O_WRONLY | O_CREAT | O_EXCL, 0644));
  TRY(write_all(fd.get(), text), path);
  if (::fchown(fd.get(), owner, owner) != 0) return fail_errno("chown `{}`", path);
  return {};
}

}  // namespace

Result<void> Mounts::prepare() {
  if (::unshare(CLONE_NEWNS) != 0) return fail_errno("unshare(CLONE_NEWNS)");
  // Slave, not private: nothing goes to the host, and what the host unmounts does not stay pinned here.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return fail_errno("keep mounts from the host");
  const std::string path = settings_.work_dir();
  TRY(make_directories(path, 0700));
  TRY_ASSIGN(const UniqueFd scratch, new_mount("tmpfs", {{"mode", "0700"}, {"size", "1m"}}, kNoSuidNoDev));
  TRY(attach(scratch.get(), AT_FDCWD, path.c_str()));
  TRY_ASSIGN(work_, open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  if (::mkdirat(work_.get(), "t", 0700) != 0) return fail_errno("mkdir `t`");
  return {};
}

Result<void> Mounts::attach_layer(const Digest& layer, const Slot& slot, int top, const std::string& at) {
  const std::string path = settings_.layers_dir() + "/" + layer.hex();
  TRY_ASSIGN(const UniqueFd tree, copy_mount(AT_FDCWD, path), "layer " + layer.str());
  TRY(set_attributes(tree.get(), MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | kNoSuidNoDev, slot.layer_mapping.get()), "layer " + layer.str());
  if (::mkdirat(top, at.c_str(), 0700) != 0) return fail_errno("mkdir `{}`", at);
  return attach(tree.get(), top, at.c_str());
}

// The writable top. What must be an ordinary folder or file, whatever the layers say, is made here: the top wins.
Result<UniqueFd> Mounts::make_top(const StartPlan& plan, const Slot& slot) {
  const uint32_t root = slot_id_base(slot.index), fn = root + kFunctionUser;
  // An inode costs about 1 KB of kernel memory that the size does not count.
  const uint64_t inodes = std::max<uint64_t>(1024, plan.limits.scratch_bytes / 2048);
  TRY_ASSIGN(UniqueFd top,
             new_mount("tmpfs", {{"size", std::to_string(plan.limits.scratch_bytes)}, {"nr_inodes", std::to_string(inodes)}, {"mode", "0755"}}, kNoSuidNoDev));
  TRY(make_folder(top.get(), "w", 0700, root));
  TRY(make_folder(top.get(), "u", 0755, root));
  TRY_ASSIGN(const UniqueFd upper, open_at(top.get(), "u", O_RDONLY | O_DIRECTORY));
  for (const char* name : {"proc", "sys", "dev", "etc", "home"}) TRY(make_folder(upper.get(), name, 0755, root));
  TRY(make_folder(upper.get(), "tmp", 01777, root));
  TRY(make_folder(upper.get(), "home/fn", 0755, fn));
  TRY(make_folder(upper.get(), "app", 0755, fn));
  if (plan.kind == PlanKind::kJob) {
    for (const char* name : {"src", "out"}) TRY(make_folder(upper.get(), name, 0755, fn));
  }
  TRY(make_text(upper.get(), "etc/hosts", fmt::format("127.0.0.1 localhost {0}\n::1 localhost {0}\n", plan.hostname), root));
  TRY(make_text(upper.get(), "etc/hostname", plan.hostname + "\n", root));
  TRY(make_text(upper.get(), "etc/resolv.conf", fmt::format("nameserver {}\noptions timeout:2 attempts:2\n", address_text(settings_.gateway())), root));
  TRY(attach(top.get(), work_.get(), "t"));
  attached_ = true;
  return top;
}

Result<UniqueFd> Mounts::mount_overlay(size_t layers) {
  // Relative names keep the option under the kernel's 256 bytes whatever the run folder is called.
  if (::fchdir(work_.get()) != 0) return fail_errno("chdir to the work folder");
  std::string lower;
  for (size_t i = layers; i-- > 0;) lower += fmt::format("{}t/{}", lower.empty() ? "" : ":", i);
  auto mount = new_mount("overlay", {{"lowerdir", lower}, {"upperdir", "t/u"}, {"workdir", "t/w"}, {"volatile", ""}}, kNoSuidNoDev);
  if (::chdir("/") != 0) return fail_errno("chdir");
  return mount;
}

Result<UniqueFd> Mounts::build_root(const StartPlan& plan, const Slot& slot) {
  let_go();
  TRY_ASSIGN(const UniqueFd top, make_top(plan, slot), "writable top");
  for (size_t i = 0; i < plan.layers.size(); ++i) TRY(attach_layer(plan.layers[i], slot, top.get(), std::to_string(i)));
  return mount_overlay(plan.layers.size());
}

void Mounts::let_go() {
  if (attached_) ::umount2((settings_.work_dir() + "/t").c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  attached_ = false;
}

}  // namespace skerry::sandbox
