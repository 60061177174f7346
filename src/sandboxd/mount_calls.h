// The mount calls that both halves of a container's file system use: starter's (mounts.h) and its own first process's (skeleton.h).
#pragma once

#include <linux/mount.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry::sandbox {

inline constexpr unsigned kNoSuidNoDev = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

struct MountOption {
  const char* key;
  std::string value;  // "" for a flag
};

// A detached mount of a new file system instance.
Result<UniqueFd> new_mount(const char* type, const std::vector<MountOption>& options, unsigned attributes);
// A detached copy of the mount at `path` ("": at `dirfd` itself), which must be one of this mount namespace.
Result<UniqueFd> copy_mount(int dirfd, const std::string& path);
// Sets MOUNT_ATTR_* on a mount; `user_namespace` goes with MOUNT_ATTR_IDMAP.
Result<void> set_attributes(int mount, uint64_t attributes, int user_namespace = -1);
// Attaches a detached mount, or moves an attached one, to `to_path` below `to_dir`; "" is `to_dir` itself.
Result<void> attach(int mount, int to_dir, const char* to_path);

}  // namespace skerry::sandbox
