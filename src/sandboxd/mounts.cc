#include "sandboxd/mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "os/file.h"

namespace skerry::sandbox {
namespace {

// glibc 2.36's <sys/mount.h> clashes with <linux/mount.h> in part; the calls are made by number.
int sys_open_tree(int dirfd, const char* path, unsigned flags) { return static_cast<int>(::syscall(SYS_open_tree, dirfd, path, flags)); }
int sys_move_mount(int from, int to_dir, const char* to_path, unsigned flags) {
  return static_cast<int>(::syscall(SYS_move_mount, from, "", to_dir, to_path, flags | MOVE_MOUNT_F_EMPTY_PATH));
}
int sys_fsopen(const char* type) { return static_cast<int>(::syscall(SYS_fsopen, type, FSOPEN_CLOEXEC)); }
int sys_fsconfig(int fd, unsigned command, const char* key, const char* value) { return static_cast<int>(::syscall(SYS_fsconfig, fd, command, key, value, 0)); }
int sys_fsmount(int fd, unsigned attributes) { return static_cast<int>(::syscall(SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes)); }

constexpr unsigned kSafe = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

struct Option {
  const char* key;
  std::string value;  // "" for a flag
};

// A detached mount of a new file system instance.
Result<UniqueFd> new_mount(const char* type, const std::vector<Option>& options, unsigned attributes) {
  const UniqueFd context(sys_fsopen(type));
  if (!context) return fail_errno("fsopen {}", type);
  for (const Option& o : options) {
    const int status = o.value.empty() ? sys_fsconfig(context.get(), FSCONFIG_SET_FLAG, o.key, nullptr)
                                       : sys_fsconfig(context.get(), FSCONFIG_SET_STRING, o.key, o.value.c_str());
    if (status != 0) return fail_errno("{} option {}={}", type, o.key, o.value);
  }
  if (sys_fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr) != 0) return fail_errno("create {}", type);
  UniqueFd mount(sys_fsmount(context.get(), attributes));
  if (!mount) return fail_errno("fsmount {}", type);
  return mount;
}

// A detached copy of the mount at `path`, which must be one of this mount namespace.
Result<UniqueFd> copy_of(const std::string& path) {
  UniqueFd tree(sys_open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) return fail_errno("open_tree `{}`", path);
  return tree;
}

Result<void> attach(int mount, int to_dir, const char* to_path) {
  if (sys_move_mount(mount, to_dir, to_path, *to_path == '\0' ? MOVE_MOUNT_T_EMPTY_PATH : 0) != 0) return fail_errno("move_mount to `{}`", to_path);
  return {};
}

// SECURITY: a folder of the tenant's root, never through a symbolic link (CVE-2021-30465, CVE-2026-41579).
Result<UniqueFd> folder_in(int root, const char* name) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root, name, &how, sizeof how)));
  if (!fd) return fail_errno("open /{} in the container", name);
  return fd;
}

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

// What the OCI runtime specification has a runtime hide or make read-only.
constexpr const char* kHiddenFolders[] = {"acpi", "scsi", "asound"};
constexpr const char* kHiddenFiles[] = {"kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "interrupts"};
constexpr const char* kReadOnly[] = {"bus", "fs", "irq", "sys", "sysrq-trigger"};

}  // namespace

Result<void> Mounts::prepare() {
  if (::unshare(CLONE_NEWNS) != 0) return fail_errno("unshare(CLONE_NEWNS)");
  // Slave, not private: nothing goes to the host, and what the host unmounts does not stay pinned here.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return fail_errno("keep mounts from the host");
  const std::string path = settings_.run_dir + "/mnt";
  TRY(make_directories(path, 0700));
  TRY_ASSIGN(const UniqueFd scratch, new_mount("tmpfs", {{"mode", "0700"}, {"size", "1m"}}, kSafe));
  TRY(attach(scratch.get(), AT_FDCWD, path.c_str()));
  TRY_ASSIGN(work_, open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  for (const char* name : {"root", "dev", "none"})
    if (::mkdirat(work_.get(), name, 0755) != 0) return fail_errno("mkdir {}", name);
  TRY_ASSIGN(const UniqueFd nothing, new_mount("tmpfs", {{"mode", "0555"}, {"size", "4k"}}, kSafe | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY));
  TRY(attach(nothing.get(), work_.get(), "none"));
  return make_device_tree();
}

Result<void> Mounts::make_device_tree() {
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
  return attach(devices.get(), work_.get(), "dev");
}

// ---- the root

Result<void> Mounts::attach_layer(const Digest& layer, const Slot& slot, const std::string& at) {
  const std::string path = settings_.layers_dir() + "/" + layer.hex();
  UniqueFd tree(sys_open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) return fail_errno("layer {}", layer.str());
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | kSafe;
  attributes.userns_fd = static_cast<uint64_t>(slot.layer_mapping.get());
  if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) return fail_errno("map ids of layer {}", layer.str());
  if (::mkdirat(work_.get(), at.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("mkdir `{}`", at);
  return attach(tree.get(), work_.get(), at.c_str());
}

// The writable top. What must be an ordinary folder or file, whatever the layers say, is made here: the top wins.
Result<void> Mounts::make_top(const StartPlan& plan, const Slot& slot) {
  const uint32_t root = slot_id_base(slot.index), fn = root + kFunctionUser;
  // An inode costs about 1 KB of kernel memory that the size does not count.
  const uint64_t inodes = std::max<uint64_t>(1024, plan.limits.scratch_bytes / 2048);
  TRY_ASSIGN(const UniqueFd top,
             new_mount("tmpfs", {{"size", std::to_string(plan.limits.scratch_bytes)}, {"nr_inodes", std::to_string(inodes)}, {"mode", "0755"}}, kSafe));
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
  if (::mkdirat(work_.get(), "t", 0700) != 0 && errno != EEXIST) return fail_errno("mkdir `t`");
  return attach(top.get(), work_.get(), "t");
}

Result<UniqueFd> Mounts::mount_overlay(size_t layers) {
  // Relative names keep the option under the kernel's 256 bytes whatever the run folder is called.
  if (::fchdir(work_.get()) != 0) return fail_errno("chdir to the work folder");
  std::string lower;
  for (size_t i = layers; i-- > 0;) lower += fmt::format("{}l{}", lower.empty() ? "" : ":", i);
  auto mount = new_mount("overlay", {{"lowerdir", lower}, {"upperdir", "t/u"}, {"workdir", "t/w"}, {"volatile", ""}}, kSafe);
  if (::chdir("/") != 0) return fail_errno("chdir");
  return mount;
}

Result<UniqueFd> Mounts::build_root(const StartPlan& plan, const Slot& slot) {
  auto build = [&]() -> Result<UniqueFd> {
    for (size_t i = 0; i < plan.layers.size(); ++i) TRY(attach_layer(plan.layers[i], slot, fmt::format("l{}", i)));
    TRY(make_top(plan, slot), "writable top");
    return mount_overlay(plan.layers.size());
  };
  auto root = build();
  // The overlay holds what it needs; here the names are free for the next start.
  const std::string base = settings_.run_dir + "/mnt/";
  for (size_t i = 0; i < plan.layers.size(); ++i) ::umount2((base + fmt::format("l{}", i)).c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  ::umount2((base + "t").c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  return root;
}

// ---- inside the container's namespaces

Result<void> Mounts::cover(int proc, const char* path) {
  struct stat st {};
  if (::fstatat(proc, path, &st, AT_SYMLINK_NOFOLLOW) != 0) return {};  // not in this kernel
  TRY_ASSIGN(const UniqueFd blank, copy_of(settings_.run_dir + (S_ISDIR(st.st_mode) ? "/mnt/none" : "/mnt/dev/null")));
  return attach(blank.get(), proc, path);
}

Result<void> Mounts::enter_root(int root) {
  // This mount namespace is a copy of starter's: the same paths, but descriptors opened there belong to the other one.
  const std::string place = settings_.run_dir + "/mnt/root";
  TRY(attach(root, AT_FDCWD, place.c_str()));
  TRY_ASSIGN(const UniqueFd top, open_at(AT_FDCWD, place, O_PATH | O_DIRECTORY));
  {
    TRY_ASSIGN(const UniqueFd at, folder_in(top.get(), "proc"));
    TRY_ASSIGN(const UniqueFd proc, new_mount("proc", {}, kSafe | MOUNT_ATTR_NOEXEC));
    TRY(attach(proc.get(), at.get(), ""));
    TRY_ASSIGN(const UniqueFd inside, folder_in(top.get(), "proc"));
    for (const char* path : kHiddenFolders) TRY(cover(inside.get(), path));
    for (const char* path : kHiddenFiles) TRY(cover(inside.get(), path));
    for (const char* path : kReadOnly) {
      UniqueFd tree(sys_open_tree(inside.get(), path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
      if (!tree) continue;  // not in this kernel
      mount_attr attributes{};
      attributes.attr_set = MOUNT_ATTR_RDONLY;
      if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) return fail_errno("make /proc/{} read-only", path);
      TRY(attach(tree.get(), inside.get(), path));
    }
  }
  {
    TRY_ASSIGN(const UniqueFd at, folder_in(top.get(), "sys"));
    TRY_ASSIGN(const UniqueFd blank, copy_of(settings_.run_dir + "/mnt/none"));
    TRY(attach(blank.get(), at.get(), ""));
  }
  TRY_ASSIGN(const UniqueFd dev, folder_in(top.get(), "dev"));
  TRY_ASSIGN(const UniqueFd devices, copy_of(settings_.run_dir + "/mnt/dev"));
  mount_attr read_only{};
  read_only.attr_set = MOUNT_ATTR_RDONLY;
  if (::syscall(SYS_mount_setattr, devices.get(), "", AT_EMPTY_PATH, &read_only, sizeof read_only) != 0) return fail_errno("make /dev read-only");
  TRY(attach(devices.get(), dev.get(), ""));
  TRY_ASSIGN(const UniqueFd shm_at, folder_in(top.get(), "dev/shm"));
  TRY_ASSIGN(const UniqueFd shm, new_mount("tmpfs", {{"mode", "1777"}, {"size", "64m"}}, kSafe | MOUNT_ATTR_NOEXEC));
  TRY(attach(shm.get(), shm_at.get(), ""));
  TRY_ASSIGN(const UniqueFd pts_at, folder_in(top.get(), "dev/pts"));
  TRY_ASSIGN(const UniqueFd pts, new_mount("devpts", {{"mode", "0620"}, {"ptmxmode", "0666"}}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  TRY(attach(pts.get(), pts_at.get(), ""));

  // pivot_root onto itself: the old root ends up on top of the new one and is let go; no folder for it is needed inside.
  if (::fchdir(top.get()) != 0) return fail_errno("chdir to the new root");
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return fail_errno("pivot_root");
  if (::umount2(".", MNT_DETACH) != 0) return fail_errno("let go of the old root");
  if (::chdir("/") != 0) return fail_errno("chdir /");
  return {};
}

}  // namespace skerry::sandbox
