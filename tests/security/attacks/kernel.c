/* System calls that a container has no business with, each with arguments that would do what its name says. */
#include <grp.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>

#include "attack.h"

static void do_mount(char** a) { (void)a, tell("mount", mount("none", "/tmp", "tmpfs", 0, NULL)); }
static void do_bind(char** a) { (void)a, tell("bind", mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL)); }
static void do_remount(char** a) { (void)a, tell("remount", mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID, NULL)); }
static void do_umount(char** a) { (void)a, tell("umount", umount2("/proc", MNT_DETACH)); }
static void do_chroot(char** a) { (void)a, tell("chroot", chroot("/tmp")); }
static void do_pivot(char** a) { (void)a, tell("pivot_root", syscall(SYS_pivot_root, ".", ".")); }
static void do_new_mount_api(char** a) {
  (void)a;
  tell("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
  tell("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */));
  tell("fspick", syscall(SYS_fspick, AT_FDCWD, "/", 0));
}
static void do_unshare(char** a) { (void)a, tell("unshare", unshare(CLONE_NEWUSER)); }
static void do_unshare_all(char** a) {
  (void)a;
  static const struct { const char* name; int flag; } kinds[] = {{"mount", CLONE_NEWNS}, {"net", CLONE_NEWNET}, {"pid", CLONE_NEWPID}, {"ipc", CLONE_NEWIPC},
                                                                   {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}, {"time", 0x80}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) tell(kinds[i].name, unshare(kinds[i].flag));
}
static void do_clone(char** a) {
  (void)a;
  const long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  tell("clone", pid);
}
static void do_clone3(char** a) {
  (void)a;
  struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
  const long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) _exit(0);
  tell("clone3", pid);
}
static void do_setns(char** a) {
  (void)a;
  tell("open-init", open("/proc/1/ns/mnt", O_RDONLY));
  const int own = open("/proc/self/ns/net", O_RDONLY);
  tell("setns", setns(own, CLONE_NEWNET));
  tell("setns-pidfd", setns((int)syscall(SYS_pidfd_open, 1, 0), CLONE_NEWNS));
}
static void do_bpf(char** a) {
  (void)a;
  union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};
  tell("bpf", syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr));
}
static void do_keys(char** a) {
  (void)a;
  tell("add_key", syscall(SYS_add_key, "user", "skerry-attack", "x", 1, -2 /* the process's keyring */));
  tell("keyctl", syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3 /* the session's */, 0, 0, 0));
  tell("request_key", syscall(SYS_request_key, "user", "skerry-attack", NULL, -2));
}
static void do_io_uring(char** a) {
  (void)a;
  struct io_uring_params params = {0};
  tell("io_uring", syscall(SYS_io_uring_setup, 4, &params));
}
static void do_perf(char** a) {
  (void)a;
  struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1, .exclude_hv = 1};
  tell("perf", syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}
static void do_userfaultfd(char** a) { (void)a, tell("userfaultfd", syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY)); }
/* "Shocker": a handle names an inode whatever the mounts are. */
static void do_handles(char** a) {
  struct { struct file_handle handle; char room[128]; } h = {.handle.handle_bytes = 128};
  int mount_id = 0;
  const char* path = *a ? *a : "/tmp";
  tell("name_to_handle", syscall(SYS_name_to_handle_at, AT_FDCWD, path, &h, &mount_id, 0));
  const int at = open(path, O_RDONLY | O_DIRECTORY);
  tell("open_by_handle", syscall(SYS_open_by_handle_at, at, &h, O_RDONLY));
}
static pid_t sleeper(void) {
  const pid_t pid = fork();
  if (pid == 0) for (;;) pause();
  return pid;
}
static void do_ptrace(char** a) {
  (void)a;
  const pid_t child = sleeper();
  tell("ptrace", ptrace(PTRACE_SEIZE, child, 0, 0));
  kill(child, SIGKILL);
}
static void do_process_memory(char** a) {
  (void)a;
  static char secret[8] = "secret";
  char seen[8] = "";
  struct iovec local = {seen, 8}, remote = {secret, 8};
  const pid_t child = sleeper();
  tell("process_vm_readv", process_vm_readv(child, &local, 1, &remote, 1, 0));
  tell("process_vm_writev", process_vm_writev(child, &local, 1, &remote, 1, 0));
  tell("pidfd_getfd", syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, child, 0), 0, 0));
  tell("kcmp", syscall(SYS_kcmp, getpid(), child, 0, 0, 0));
  kill(child, SIGKILL);
}
/* Run inside only: outside they would be carried out. */
static void do_machine(char** a) {
  (void)a;
  tell("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
  tell("kexec_file_load", syscall(SYS_kexec_file_load, -1, -1, 0, NULL, 0));
  tell("init_module", syscall(SYS_init_module, NULL, 0, ""));
  tell("finit_module", syscall(SYS_finit_module, -1, "", 0));
  tell("delete_module", syscall(SYS_delete_module, "none", O_NONBLOCK));
  tell("swapon", syscall(SYS_swapon, "/tmp/swap", 0));
  tell("swapoff", syscall(SYS_swapoff, "/tmp/swap"));
  tell("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0 /* CAD off */, NULL));
  tell("settimeofday", syscall(SYS_settimeofday, &(struct timeval){0}, NULL));
  tell("clock_settime", syscall(SYS_clock_settime, 0, &(struct timespec){0}));
  tell("adjtimex", syscall(SYS_adjtimex, &(struct timex){.modes = ADJ_TICK, .tick = 1}));
  tell("iopl", syscall(SYS_iopl, 3));
  tell("ioperm", syscall(SYS_ioperm, 0, 1, 1));
  tell("acct", syscall(SYS_acct, NULL));
  tell("quotactl", syscall(SYS_quotactl, 0, "/", 0, NULL));
  tell("vhangup", syscall(SYS_vhangup));
  tell("modify_ldt", syscall(SYS_modify_ldt, 0, NULL, 0));
  tell("fanotify_init", syscall(SYS_fanotify_init, 0, 0));
  tell("sethostname", syscall(SYS_sethostname, "owned", 5));
  tell("setdomainname", syscall(SYS_setdomainname, "owned", 5));
}
static void do_kernel_log(char** a) {
  (void)a;
  static char log[4096];
  tell("syslog", syscall(SYS_syslog, 3 /* read all */, log, sizeof log));
  tell("dev-kmsg", open("/dev/kmsg", O_RDONLY));
  tell("proc-kmsg", open("/proc/kmsg", O_RDONLY));
}
static void do_personality(char** a) {
  (void)a;
  tell("no-randomization", personality(ADDR_NO_RANDOMIZE));
  tell("read-implies-exec", personality(READ_IMPLIES_EXEC));
  tell("32-bit", personality(PER_LINUX32));
  tell("ask", personality(0xffffffff));
}
/* A program that switches to the system calls of another architecture passes a filter of numbers alone. */
static void do_i386(char** a) {
  (void)a;
  const pid_t child = fork();
  if (child == 0) {
    long result = 20; /* getpid there, writev here */
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
    _exit(result == getpid() ? 7 : 8);
  }
  tell_end("i386", child);
}
static void do_x32(char** a) {
  (void)a;
  const pid_t child = fork();
  if (child == 0) {
    syscall(0x40000000 | SYS_getpid);
    _exit(7);
  }
  tell_end("x32", child);
}
static void do_terminal(char** a) {
  (void)a;
  const int terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY);
  tell("open", terminal);
  tell("TIOCSTI", ioctl(terminal, TIOCSTI, "x"));
  tell("TIOCSTI-high-bit", syscall(SYS_ioctl, terminal, (1UL << 32) | TIOCSTI, "x"));
  tell("TIOCLINUX", ioctl(terminal, TIOCLINUX, "\2"));
  tell("line-discipline", ioctl(terminal, TIOCSETD, &(int){0 /* the ordinary one; loading others would be an attack on this machine */}));
}
/* More of the machine's processors than others have, and a life when memory is short. */
static void do_priority(char** a) {
  (void)a;
  tell("nice", nice(-10) == -1 ? -1 : 0);
  struct sched_param realtime = {.sched_priority = 50};
  tell("realtime", sched_setscheduler(0, SCHED_FIFO, &realtime));
  tell("ioprio", syscall(SYS_ioprio_set, 1, 0, (1 << 13) | 0));
  const int fd = open("/proc/self/oom_score_adj", O_WRONLY);
  tell("oom", write(fd, "-1000", 5));
}
static void do_become_root(char** a) {
  (void)a;
  tell("setuid", setuid(0));
  tell("setgid", setgid(0));
  tell("setgroups", setgroups(0, NULL));
  tell("setresuid", setresuid(0, 0, 0));
  tell("uid_map", write(open("/proc/self/uid_map", O_WRONLY), "0 0 1", 5));
  tell("gid_map", write(open("/proc/self/gid_map", O_WRONLY), "0 0 1", 5));
}

static const struct { const char* name; int family, type, protocol; } kFamilies[] = {
    {"packet", AF_PACKET, SOCK_RAW, 0x0300}, {"vsock", AF_VSOCK, SOCK_STREAM, 0}, {"alg", AF_ALG, SOCK_SEQPACKET, 0}, {"key", AF_KEY, SOCK_RAW, 2},
    {"xdp", AF_XDP, SOCK_RAW, 0}, {"can", AF_CAN, SOCK_RAW, 1}, {"rds", AF_RDS, SOCK_SEQPACKET, 0}, {"tipc", AF_TIPC, SOCK_STREAM, 0},
    {"bluetooth", AF_BLUETOOTH, SOCK_RAW, 1}, {"smc", AF_SMC, SOCK_STREAM, 0}, {"x25", AF_X25, SOCK_SEQPACKET, 0}, {"ax25", AF_AX25, SOCK_SEQPACKET, 0},
    {"appletalk", AF_APPLETALK, SOCK_DGRAM, 0}, {"llc", AF_LLC, SOCK_STREAM, 0}, {"nfc", AF_NFC, SOCK_SEQPACKET, 1}, {"kcm", AF_KCM, SOCK_DGRAM, 0},
    {"netlink-netfilter", AF_NETLINK, SOCK_RAW, 12}, {"netlink-audit", AF_NETLINK, SOCK_RAW, 9}, {"netlink-xfrm", AF_NETLINK, SOCK_RAW, 6},
    {"netlink-uevent", AF_NETLINK, SOCK_RAW, 15}, {"netlink-generic", AF_NETLINK, SOCK_RAW, 16}, {"netlink-diag", AF_NETLINK, SOCK_RAW, 4}};
static void do_families(char** a) {
  (void)a;
  for (size_t i = 0; i < sizeof kFamilies / sizeof *kFamilies; ++i) tell(kFamilies[i].name, socket(kFamilies[i].family, kFamilies[i].type, kFamilies[i].protocol));
}

const struct attack kernel_attacks[] = {{"mount", do_mount}, {"bind", do_bind}, {"remount", do_remount}, {"umount", do_umount}, {"chroot", do_chroot},
                                        {"pivot_root", do_pivot}, {"new-mount-api", do_new_mount_api}, {"unshare", do_unshare}, {"unshare-all", do_unshare_all},
                                        {"clone", do_clone}, {"clone3", do_clone3}, {"setns", do_setns}, {"bpf", do_bpf}, {"keys", do_keys},
                                        {"io_uring", do_io_uring}, {"perf", do_perf}, {"userfaultfd", do_userfaultfd}, {"handles", do_handles},
                                        {"ptrace", do_ptrace}, {"process-memory", do_process_memory}, {"machine", do_machine}, {"kernel-log", do_kernel_log},
                                        {"personality", do_personality}, {"i386", do_i386}, {"x32", do_x32}, {"terminal", do_terminal},
                                        {"priority", do_priority}, {"become-root", do_become_root}, {"families", do_families}, {NULL, NULL}};
