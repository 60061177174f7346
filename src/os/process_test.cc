#include "os/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <functional>

namespace skerry {
namespace {

constexpr int kFirst = 60;

enum class Kernel : uint8_t { kThisOne, kWithoutCloseRange };

// As on a kernel before Linux 5.9, for this process and its children.
bool lose_close_range() {
  sock_filter steps[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
                         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog filter{std::size(steps), steps};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// What `work` returns, in a process of its own that has the descriptors kFirst to kFirst + 3.
int in_child(Kernel kernel, const std::function<int()>& work) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    for (int fd = kFirst; fd < kFirst + 4; ++fd)
      if (::dup2(STDERR_FILENO, fd) != fd) ::_exit(98);
    if (kernel == Kernel::kWithoutCloseRange && (!lose_close_range() || ::syscall(SYS_close_range, ~0U, ~0U, 0) == 0 || errno != ENOSYS)) ::_exit(99);
    ::_exit(work());
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// The open ones of the four, a bit each.
int open_ones() {
  int open = 0;
  for (int i = 0; i < 4; ++i)
    if (::fcntl(kFirst + i, F_GETFD) >= 0) open |= 1 << i;
  return open;
}

class CloseDescriptors : public ::testing::TestWithParam<Kernel> {};
INSTANTIATE_TEST_SUITE_P(Kernels, CloseDescriptors, ::testing::Values(Kernel::kThisOne, Kernel::kWithoutCloseRange));

TEST_P(CloseDescriptors, ClosesTheseAndNoOthers) {
  EXPECT_EQ(in_child(GetParam(), [] { return close_descriptors(kFirst + 1, kFirst + 2) ? open_ones() : 97; }), 0b1001);
  EXPECT_EQ(in_child(GetParam(), [] { return close_descriptors(kFirst + 3, kFirst + 3) ? open_ones() : 97; }), 0b0111);
  EXPECT_EQ(in_child(GetParam(), [] { return close_descriptors(kFirst + 2) ? open_ones() : 97; }), 0b0011);
}

TEST_P(CloseDescriptors, LeavesThemOpenUntilAnExec) {
  EXPECT_EQ(in_child(GetParam(), [] {
              if (!close_descriptors_on_exec(kFirst + 2)) return 97;
              return open_ones() == 0b1111 && (::fcntl(kFirst + 1, F_GETFD) & FD_CLOEXEC) == 0 && (::fcntl(kFirst + 2, F_GETFD) & FD_CLOEXEC) != 0 ? 0 : 1;
            }),
            0);
}

TEST_P(CloseDescriptors, AProgramThatIsSpawnedHasNoneButItsOwn) {
  EXPECT_EQ(in_child(GetParam(),
                     [] {
                       SpawnOptions options;
                       options.argv = {"/bin/sh", "-c", fmt::format("test -e /proc/self/fd/3 -a ! -e /proc/self/fd/4 -a ! -e /proc/self/fd/{}", kFirst)};
                       options.fds = {{STDERR_FILENO, STDERR_FILENO}, {kFirst, 3}};
                       const auto child = spawn(options);
                       int status = -1;
                       return child && ::waitpid(child->pid, &status, 0) == child->pid ? status : 97;
                     }),
            0);
}

TEST(ForkInto, GivesTheChildItsNamespacesAndTheParentItsPidfd) {
  UniqueFd pidfd;
  const pid_t pid = fork_into(CLONE_NEWUSER | CLONE_NEWPID, &pidfd);
  ASSERT_GE(pid, 0) << "errno " << errno;
  if (pid == 0) ::_exit(::getpid() == 1 ? 7 : 8);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &ended, WEXITED), 0);
  EXPECT_EQ(ended.si_pid, pid);
  EXPECT_EQ(ended.si_status, 7);
  EXPECT_EQ(fork_into(~0, nullptr), -1);
}

}  // namespace
}  // namespace skerry
