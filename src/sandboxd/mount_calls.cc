#include "sandboxd/mount_calls.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace skerry::sandbox {

// glibc 2.36's <sys/mount.h> clashes with <linux/mount.h> in part; the calls are made by number.

Result<UniqueFd> new_mount(const char* type, const std::vector<MountOption>& options, unsigned attributes) {
  const UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, type, FSOPEN_CLOEXEC)));
  if (!context) return fail_errno("fsopen {}", type);
  for (const MountOption& o : options) {
    const bool flag = o.value.empty();
    if (::syscall(SYS_fsconfig, context.get(), flag ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, o.key, flag ? nullptr : o.value.c_str(), 0) != 0)
      return fail_errno("{} option {}={}", type, o.key, o.value);
  }
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return fail_errno("create {}", type);
  UniqueFd mount(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes)));
  if (!mount) return fail_errno("fsmount {}", type);
  return mount;
}

Result<UniqueFd> copy_mount(int dirfd, const std::string& path) {
  UniqueFd tree(static_cast<int>(::syscall(SYS_open_tree, dirfd, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (path.empty() ? unsigned{AT_EMPTY_PATH} : 0U))));
  if (!tree) return fail_errno("open_tree `{}`", path);
  return tree;
}

Result<void> set_attributes(int mount, uint64_t attributes, int user_namespace) {
  mount_attr wanted{};
  wanted.attr_set = attributes;
  if (user_namespace >= 0) wanted.userns_fd = static_cast<uint64_t>(user_namespace);
  if (::syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &wanted, sizeof wanted) != 0) return fail_errno("mount_setattr");
  return {};
}

Result<void> attach(int mount, int to_dir, const char* to_path) {
  const unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (*to_path == '\0' ? MOVE_MOUNT_T_EMPTY_PATH : 0U);
  if (::syscall(SYS_move_mount, mount, "", to_dir, to_path, flags) != 0) return fail_errno("move_mount to `{}`", to_path);
  return {};
}

}  // namespace skerry::sandbox
