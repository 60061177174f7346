#include "sandboxd/skeleton.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <utility>

#include "os/file.h"
#include "sandboxd/mount_calls.h"

namespace skerry::sandbox {
namespace {

// What the OCI runtime specification has a runtime hide or make read-only.
constexpr const char* kHiddenFolders[] = {"acpi", "scsi", "asound"};
constexpr const char* kHiddenFiles[] = {"kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "interrupts"};
constexpr const char* kReadOnly[] = {"bus", "fs", "irq", "sys", "sysrq-trigger"};
// SECURITY: all containers share the machine's number of terminals (kernel.pty.max, 4096), which one could use up.
constexpr const char* kMaxTerminals = "32";
// Folders of the skeleton; the first three go to the root's folders of these names.
constexpr const char* kTrees[] = {"proc", "sys", "dev"};

// SECURITY: a folder of the tenant's root, never through a symbolic link (CVE-2021-30465, CVE-2026-41579).
Result<UniqueFd> folder_in(int root, const char* name) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root, name, &how, sizeof how)));
  if (!fd) return fail_errno("open /{} in the container", name);
  return fd;
}

// Every process at the old root is at the new one afterwards. The old one ends up on top of it, where "/.." leads to until let_go_of_old_root().
Result<void> pivot_to(int top) {
  if (::fchdir(top) != 0) return fail_errno("chdir to the new root");
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return fail_errno("pivot_root");
  return {};
}

// All below run with the skeleton as "/".

Result<void> make_sys() {
  TRY_ASSIGN(const UniqueFd nothing, new_mount("tmpfs", {{"mode", "0555"}, {"size", "4k"}}, kNoSuidNoDev | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY));
  return attach(nothing.get(), AT_FDCWD, "/sys");
}

Result<void> make_dev() {
  TRY_ASSIGN(const UniqueFd devices, new_mount("tmpfs", {{"mode", "0755"}, {"size", "64k"}}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  struct Node {
    const char* name;
    unsigned minor;
  };
  for (const Node& node : {Node{"null", 3}, Node{"zero", 5}, Node{"full", 7}, Node{"random", 8}, Node{"urandom", 9}}) {
    if (::mknodat(devices.get(), node.name, S_IFCHR | 0666, makedev(1, node.minor)) != 0) return fail_errno("mknod {}", node.name);
    if (::fchmodat(devices.get(), node.name, 0666, 0) != 0) return fail_errno("chmod {}", node.name);
  }
  for (const auto& [name, target] : {std::pair{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
                                     {"ptmx", "pts/ptmx"}}) {
    if (::symlinkat(target, devices.get(), name) != 0) return fail_errno("symlink {}", name);
  }
  for (const char* name : {"shm", "pts"})
    if (::mkdirat(devices.get(), name, 0755) != 0) return fail_errno("mkdir {}", name);
  TRY(set_attributes(devices.get(), MOUNT_ATTR_RDONLY), "make /dev read-only");
  TRY(attach(devices.get(), AT_FDCWD, "/dev"));
  TRY_ASSIGN(const UniqueFd shm, new_mount("tmpfs", {{"mode", "1777"}, {"size", "64m"}}, kNoSuidNoDev | MOUNT_ATTR_NOEXEC));
  TRY(attach(shm.get(), AT_FDCWD, "/dev/shm"));
  TRY_ASSIGN(const UniqueFd pts, new_mount("devpts", {{"mode", "0620"}, {"ptmxmode", "0666"}, {"max", kMaxTerminals}}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  return attach(pts.get(), AT_FDCWD, "/dev/pts");
}

// An empty folder or /dev/null over `path`.
Result<void> cover(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return {};  // not in this kernel
  TRY_ASSIGN(const UniqueFd blank, copy_mount(AT_FDCWD, S_ISDIR(st.st_mode) ? "/sys" : "/dev/null"));
  return attach(blank.get(), AT_FDCWD, path.c_str());
}

Result<void> make_proc() {
  TRY_ASSIGN(const UniqueFd proc, new_mount("proc", {}, kNoSuidNoDev | MOUNT_ATTR_NOEXEC));
  TRY(attach(proc.get(), AT_FDCWD, "/proc"));
  for (const char* name : kHiddenFolders) TRY(cover(fmt::format("/proc/{}", name)));
  for (const char* name : kHiddenFiles) TRY(cover(fmt::format("/proc/{}", name)));
  for (const char* name : kReadOnly) {
    const std::string path = fmt::format("/proc/{}", name);
    if (::access(path.c_str(), F_OK) != 0) continue;  // not in this kernel
    TRY_ASSIGN(const UniqueFd tree, copy_mount(AT_FDCWD, path));
    TRY(set_attributes(tree.get(), MOUNT_ATTR_RDONLY), path);
    TRY(attach(tree.get(), AT_FDCWD, path.c_str()));
  }
  return {};
}

}  // namespace

Result<void> make_skeleton(const std::string& at) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return fail_errno("keep mounts from the host");
  TRY_ASSIGN(const UniqueFd top, new_mount("tmpfs", {{"mode", "0755"}, {"size", "64k"}}, kNoSuidNoDev));
  for (const char* name : {"proc", "sys", "dev", "root"})
    if (::mkdirat(top.get(), name, 0755) != 0) return fail_errno("mkdir {}", name);
  TRY(attach(top.get(), AT_FDCWD, at.c_str()));
  TRY(pivot_to(top.get()));
  TRY(let_go_of_old_root());
  TRY(make_sys());
  TRY(make_dev());
  TRY(make_proc());
  // SECURITY: what the program may still see of it while the first process lets go of it is an empty folder that nobody can write to.
  return set_attributes(top.get(), MOUNT_ATTR_RDONLY);
}

Result<void> enter_root(int root) {
  TRY(attach(root, AT_FDCWD, "/root"));
  TRY_ASSIGN(const UniqueFd top, open_at(AT_FDCWD, "/root", O_PATH | O_DIRECTORY));
  for (const char* name : kTrees) {
    TRY_ASSIGN(const UniqueFd place, folder_in(top.get(), name));
    TRY_ASSIGN(const UniqueFd tree, open_at(AT_FDCWD, fmt::format("/{}", name), O_PATH | O_DIRECTORY));
    TRY(attach(tree.get(), place.get(), ""));
  }
  return pivot_to(top.get());
}

Result<void> attach_tree(int tree, const std::string& path) {
  TRY_ASSIGN(const UniqueFd root, open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  TRY_ASSIGN(const UniqueFd place, folder_in(root.get(), path.c_str()));
  return attach(tree, place.get(), "");
}

Result<void> let_go_of_old_root() {
  if (::umount2(".", MNT_DETACH) != 0) return fail_errno("let go of the old root");
  if (::chdir("/") != 0) return fail_errno("chdir /");
  return {};
}

}  // namespace skerry::sandbox
