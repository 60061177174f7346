// The compiled filter, asked directly: a small interpreter of classic BPF runs it as the kernel would. That the kernel agrees is tested from inside
// containers (tests/sandbox/test_sandbox.py).
#include "sandboxd/seccomp_policy.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cstring>

namespace skerry::sandbox {
namespace {

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW, kUnknown = SECCOMP_RET_ERRNO | ENOSYS, kKill = SECCOMP_RET_KILL_PROCESS;

uint32_t run_filter(const std::vector<sock_filter>& program, const seccomp_data& data) {
  uint32_t a = 0;
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const sock_filter& i = program[pc];
    const auto jump = [&](bool taken) { pc += taken ? i.jt : i.jf; };
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS: std::memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, sizeof a); break;
      case BPF_ALU | BPF_AND | BPF_K: a &= i.k; break;
      case BPF_JMP | BPF_JA: pc += i.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: jump(a == i.k); break;
      case BPF_JMP | BPF_JGT | BPF_K: jump(a > i.k); break;
      case BPF_JMP | BPF_JGE | BPF_K: jump(a >= i.k); break;
      case BPF_JMP | BPF_JSET | BPF_K: jump((a & i.k) != 0); break;
      case BPF_RET | BPF_K: return i.k;
      default: ADD_FAILURE() << "instruction " << i.code << " at " << pc; return 0;
    }
  }
  ADD_FAILURE() << "the filter ran off its end";
  return 0;
}

uint32_t ask(long number, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0, uint32_t architecture = AUDIT_ARCH_X86_64) {
  static const auto program = compile_seccomp_policy();
  if (!program) {
    ADD_FAILURE() << program.error().message();
    return 0;
  }
  seccomp_data data{};
  data.nr = static_cast<int>(number);
  data.arch = architecture;
  data.args[0] = a0;
  data.args[1] = a1;
  data.args[2] = a2;
  return run_filter(*program, data);
}

TEST(SeccompPolicy, FitsTheKernelsLimit) {
  const auto program = compile_seccomp_policy();
  ASSERT_TRUE(program);
  EXPECT_GT(program->size(), 100U);
  EXPECT_LE(program->size(), size_t{BPF_MAXINSNS});
}

TEST(SeccompPolicy, AllowsWhatServersDo) {
  for (const long call : {SYS_read, SYS_write, SYS_openat, SYS_mmap, SYS_futex, SYS_epoll_wait, SYS_accept4, SYS_execve, SYS_exit_group, SYS_getrandom, SYS_rt_sigreturn,
                          SYS_wait4, SYS_statx, SYS_rseq, SYS_prlimit64, SYS_sched_getaffinity, SYS_memfd_create, SYS_pidfd_open})
    EXPECT_EQ(ask(call), kAllow) << call;
}

TEST(SeccompPolicy, AnswersEverythingElseAsAnOlderKernelWould) {
  for (const long call : {SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, SYS_bpf, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_io_uring_setup,
                          SYS_io_uring_enter, SYS_io_uring_register, SYS_io_setup, SYS_io_submit, SYS_perf_event_open, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
                          SYS_userfaultfd, SYS_kexec_load, SYS_kexec_file_load, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_swapon, SYS_swapoff, SYS_reboot, SYS_open_by_handle_at,
                          SYS_name_to_handle_at, SYS_clone3, SYS_open_tree, SYS_move_mount, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr, SYS_syslog,
                          SYS_acct, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_quotactl, SYS_fanotify_init,
                          SYS_lookup_dcookie, SYS_kcmp, SYS_pidfd_getfd, SYS_process_madvise, SYS_sethostname, SYS_setdomainname, SYS_vhangup, SYS_nfsservctl, SYS_move_pages,
                          SYS_migrate_pages, SYS_mbind, SYS_set_mempolicy, SYS_seccomp})
    EXPECT_EQ(ask(call), kUnknown) << call;
  for (const long future : {470L, 1000L, 0x3FFFFFFFL}) EXPECT_EQ(ask(future), kUnknown) << future;
}

TEST(SeccompPolicy, ForeignSystemCallTablesEndTheProcess) {
  EXPECT_EQ(ask(SYS_read, 0, 0, 0, AUDIT_ARCH_I386), kKill);
  EXPECT_EQ(ask(SYS_read, 0, 0, 0, AUDIT_ARCH_AARCH64), kKill);
  EXPECT_EQ(ask(0x40000000 | SYS_getpid), kKill);  // x32
}

TEST(SeccompPolicy, CloneMakesThreadsAndProcessesButNoNamespaces) {
  EXPECT_EQ(ask(SYS_clone, SIGCHLD), kAllow);
  EXPECT_EQ(ask(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS), kAllow);
  for (const uint64_t flag : {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP, 0x80 /* NEWTIME */})
    EXPECT_EQ(ask(SYS_clone, flag | SIGCHLD), kUnknown) << flag;
}

TEST(SeccompPolicy, OpensTheSocketFamiliesOfAServerOnly) {
  for (const uint64_t family : {AF_UNIX, AF_INET, AF_INET6}) EXPECT_EQ(ask(SYS_socket, family, SOCK_STREAM), kAllow) << family;
  EXPECT_EQ(ask(SYS_socket, AF_NETLINK, SOCK_RAW, 0 /* NETLINK_ROUTE */), kAllow);
  for (const uint64_t protocol : {4, 5, 9, 12, 15, 16, 21}) EXPECT_EQ(ask(SYS_socket, AF_NETLINK, SOCK_RAW, protocol), kUnknown) << protocol;
  for (const uint64_t family : {AF_PACKET, AF_ALG, AF_VSOCK, AF_KEY, AF_XDP, AF_BLUETOOTH, AF_CAN, AF_TIPC, AF_RDS}) EXPECT_EQ(ask(SYS_socket, family), kUnknown) << family;
}

TEST(SeccompPolicy, TypesIntoNoTerminal) {
  EXPECT_EQ(ask(SYS_ioctl, 0, FIONREAD), kAllow);
  EXPECT_EQ(ask(SYS_ioctl, 0, TIOCSTI), kUnknown);
  EXPECT_EQ(ask(SYS_ioctl, 0, 0x100000000ULL | TIOCSTI), kUnknown);  // the kernel looks at 32 bits
  EXPECT_EQ(ask(SYS_ioctl, 0, TIOCLINUX), kUnknown);
  EXPECT_EQ(ask(SYS_ioctl, 0, TIOCSETD), kUnknown);
}

TEST(SeccompPolicy, LeavesTheCoreLimitAsItIs) {
  constexpr uint32_t kDoneNothing = SECCOMP_RET_ERRNO | 0;
  for (const uint64_t resource : {uint64_t{RLIMIT_CORE}, uint64_t{0x100000000} | RLIMIT_CORE}) {
    EXPECT_EQ(ask(SYS_setrlimit, resource, 0x1000), kDoneNothing);
    EXPECT_EQ(ask(SYS_prlimit64, 0, resource, 0x1000), kDoneNothing);
    EXPECT_EQ(ask(SYS_prlimit64, 0, resource, 0x100000000ULL), kDoneNothing);  // a pointer without low bits
    EXPECT_EQ(ask(SYS_prlimit64, 0, resource, 0), kAllow);                     // asks only
  }
  EXPECT_EQ(ask(SYS_setrlimit, RLIMIT_NOFILE, 0x1000), kAllow);
  EXPECT_EQ(ask(SYS_prlimit64, 0, RLIMIT_NOFILE, 0x1000), kAllow);
  EXPECT_EQ(ask(SYS_getrlimit, RLIMIT_CORE, 0x1000), kAllow);
}

TEST(SeccompPolicy, CompilesNoFiltersForATenant) {
  constexpr uint64_t kHighBit = 0x100000000ULL;
  for (const uint64_t option : {SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_REUSEPORT_EBPF}) {
    EXPECT_EQ(ask(SYS_setsockopt, 0, SOL_SOCKET, option), kUnknown) << option;
    EXPECT_EQ(ask(SYS_setsockopt, 0, kHighBit | SOL_SOCKET, kHighBit | option), kUnknown) << option;  // the kernel looks at 32 bits
    EXPECT_EQ(ask(SYS_setsockopt, 0, IPPROTO_TCP, option), kAllow) << option;                         // other levels have other options
  }
  EXPECT_EQ(ask(SYS_setsockopt, 0, SOL_SOCKET, SO_REUSEADDR), kAllow);
  EXPECT_EQ(ask(SYS_setsockopt, 0, SOL_SOCKET, SO_DETACH_FILTER), kAllow);
  EXPECT_EQ(ask(SYS_prctl, PR_SET_SECCOMP), kUnknown);
  EXPECT_EQ(ask(SYS_prctl, kHighBit | PR_SET_SECCOMP), kUnknown);
  EXPECT_EQ(ask(SYS_prctl, PR_SET_NAME), kAllow);
  EXPECT_EQ(ask(SYS_prctl, PR_GET_SECCOMP), kAllow);
}

TEST(SeccompPolicy, KeepsAddressesRandom) {
  EXPECT_EQ(ask(SYS_personality, 0xFFFFFFFF), kAllow);
  EXPECT_EQ(ask(SYS_personality, 0), kAllow);
  EXPECT_EQ(ask(SYS_personality, 0x0040000 /* ADDR_NO_RANDOMIZE */), kUnknown);
}

}  // namespace
}  // namespace skerry::sandbox
