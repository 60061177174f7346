#include "sandboxd/seccomp_policy.h"

#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>

#include "os/file.h"

namespace skerry::sandbox {
namespace {

// What an ordinary server process uses. Not here, and so ENOSYS: mount and namespace calls, module and kexec calls, bpf, perf, keyrings,
// io_uring, ptrace and process_vm_*, userfaultfd, open_by_handle_at, clock setting, swap, quota, reboot, kernel log, iopl. Nor io_setup and its
// kin: the whole machine has one number of such contexts (fs.aio-max-nr), which one container could use up; libaio's users know how to do without.
// Nor seccomp itself, as in a kernel that was built without it: the last test of kPrologue says why.
constexpr const char* kAllowed[] = {
    "accept", "accept4", "access", "alarm", "arch_prctl", "bind", "brk", "capget", "chdir", "chmod", "chown", "clock_getres", "clock_gettime",
    "clock_nanosleep", "close", "close_range", "connect", "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "execve", "execveat", "exit", "exit_group", "faccessat", "faccessat2", "fadvise64",
    "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock", "fork",
    "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futex", "futex_waitv", "futimesat", "get_robust_list", "getcpu", "getcwd",
    "getdents", "getdents64", "getegid", "geteuid", "getgid", "getgroups", "getitimer", "getpeername", "getpgid", "getpgrp", "getpid", "getppid",
    "getpriority", "getrandom", "getresgid", "getresuid", "getrlimit", "getrusage", "getsid", "getsockname", "getsockopt", "gettid", "gettimeofday",
    "getuid", "getxattr", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "kill", "landlock_add_rule",
    "landlock_create_ruleset", "landlock_restrict_self", "lchown", "lgetxattr", "link", "linkat", "listen",
    "listxattr", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "madvise", "membarrier", "memfd_create", "mincore", "mkdir", "mkdirat", "mknod",
    "mknodat", "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink",
    "mremap", "msgctl", "msgget", "msgrcv", "msgsnd", "msync", "munlock", "munlockall", "munmap", "nanosleep", "newfstatat", "open", "openat", "openat2",
    "pause", "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc", "pkey_free", "pkey_mprotect", "poll", "ppoll", "prctl", "pread64", "preadv",
    "preadv2", "prlimit64", "process_mrelease", "pselect6", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv",
    "recvfrom", "recvmmsg", "recvmsg", "remap_file_pages", "removexattr", "rename", "renameat", "renameat2", "restart_syscall", "rmdir", "rseq",
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo",
    "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
    "sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield", "select", "semctl",
    "semget", "semop", "semtimedop", "sendfile", "sendmmsg", "sendmsg", "sendto", "set_robust_list", "set_tid_address", "setfsgid", "setfsuid", "setgid",
    "setgroups", "setitimer", "setpgid", "setpriority", "setregid", "setresgid", "setresuid", "setreuid", "setrlimit", "setsid", "setsockopt", "setuid",
    "setxattr", "shmat", "shmctl", "shmdt", "shmget", "shutdown", "sigaltstack", "signalfd", "signalfd4", "socketpair", "splice", "stat", "statfs",
    "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "sysinfo", "tee", "tgkill", "time", "timer_create", "timer_delete",
    "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create", "timerfd_gettime", "timerfd_settime", "times", "tkill", "truncate", "umask",
    "uname", "unlink", "unlinkat", "utime", "utimensat", "utimes", "vfork", "vmsplice", "wait4", "waitid", "write", "writev",
};

constexpr uint64_t kNamespaceFlags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP | 0x80 /* NEWTIME */;

Result<void> check(int status, const char* what) {
  if (status < 0) return std::unexpected(Error::from_errno(-status, fmt::format("seccomp rule for {}", what)));
  return {};
}

Result<void> add_rules(scmp_filter_ctx context) {
  for (const char* name : kAllowed) {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (number < 0) continue;  // not on this architecture, or newer than the library: stays ENOSYS
    TRY(check(::seccomp_rule_add(context, SCMP_ACT_ALLOW, number, 0), name));
  }
  // clone without namespaces. clone3 hides its flags behind a pointer: ENOSYS, and libc falls back to clone.
  TRY(check(::seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, kNamespaceFlags, 0)), "clone"));
  // Only the socket families that a server needs; netlink for getifaddrs and the like, not for anything that could be configured.
  for (const int family : {AF_UNIX, AF_INET, AF_INET6})
    TRY(check(::seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, static_cast<uint64_t>(family))), "socket"));
  TRY(check(::seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_EQ, NETLINK_ROUTE)), "socket"));
  // Personality: only asking and the ordinary one.
  for (const uint64_t persona : {uint64_t{PER_LINUX}, uint64_t{0xFFFFFFFF}})
    TRY(check(::seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1, SCMP_A0(SCMP_CMP_EQ, persona)), "personality"));
  return check(::seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 0), "ioctl");
}

constexpr uint32_t low(size_t argument) { return static_cast<uint32_t>(offsetof(seccomp_data, args) + argument * sizeof(uint64_t)); }  // little-endian
constexpr uint32_t high(size_t argument) { return low(argument) + sizeof(uint32_t); }
constexpr uint32_t kUnknown = SECCOMP_RET_ERRNO | ENOSYS, kDoneNothing = SECCOMP_RET_ERRNO | 0;  // the second is "success" for the caller

// Runs before the list: tests, each of which falls through to the next. The kernel looks at the low 32 bits of these arguments only, and
// libseccomp compares all 64 for "not equal", so that a set high bit would pass (CVE-2019-10063).
constexpr sock_filter kPrologue[] = {
    // SECURITY: TIOCSTI and TIOCLINUX type into a terminal's input (CVE-2016-2568 and others); TIOCSETD gives a terminal a line discipline, old
    // drivers of which several were ways to root (CVE-2017-2636, CVE-2023-6546).
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 5),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low(1)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSETD, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, kUnknown),
    // SECURITY: where core_pattern is a program, the kernel starts it as root of the host for every crash, whatever the size limit is but one byte
    // (CVE-2025-4598, CVE-2025-5054). That is the limit that a container has, and not even a smaller one may be set. Asking goes on.
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 0, 7),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low(1)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RLIMIT_CORE, 0, 5),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low(2)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, high(2)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, kDoneNothing),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setrlimit, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low(0)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RLIMIT_CORE, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, kDoneNothing),
    // SECURITY: every filter is compiled to machine code, in a room of which the machine has one (net.core.bpf_jit_limit) and which no control group
    // counts. A container that fills it takes socket filters from all others, and seccomp: no further container would start.
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setsockopt, 0, 8),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low(1)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOL_SOCKET, 0, 6),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low(2)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_ATTACH_FILTER, 3, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_ATTACH_BPF, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_ATTACH_REUSEPORT_CBPF, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_ATTACH_REUSEPORT_EBPF, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, kUnknown),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low(0)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_SECCOMP, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, kUnknown),
};

}  // namespace

Result<std::vector<sock_filter>> compile_seccomp_policy() {
  const std::unique_ptr<void, void (*)(void*)> context(::seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), ::seccomp_release);
  if (!context) return fail(ErrorCode::kNoCapacity, "seccomp filter");
  TRY(check(::seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "foreign architectures"));
  TRY(check(::seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2), "binary tree"));  // a call costs a search, not a walk
  TRY(add_rules(context.get()));
  const UniqueFd memory(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!memory) return fail_errno("memfd_create");
  TRY(check(::seccomp_export_bpf(context.get(), memory.get()), "export"));
  if (::lseek(memory.get(), 0, SEEK_SET) < 0) return fail_errno("lseek");
  TRY_ASSIGN(const std::string bytes, read_all(memory.get(), 1 << 20));
  std::vector<sock_filter> program(std::size(kPrologue) + bytes.size() / sizeof(sock_filter));
  std::copy(std::begin(kPrologue), std::end(kPrologue), program.begin());
  std::memcpy(program.data() + std::size(kPrologue), bytes.data(), bytes.size() / sizeof(sock_filter) * sizeof(sock_filter));
  return program;
}

bool load_seccomp_policy(const std::vector<sock_filter>& program) {
  const sock_fprog filter{static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

}  // namespace skerry::sandbox
