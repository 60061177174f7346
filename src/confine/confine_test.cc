#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "confine/confine.h"

namespace skerry {
namespace {

constexpr int kRefused = 77;  // what the child exits with when confinement itself failed

// Runs `act` in a confined child; gives its wait status.
int confined(std::span<const AllowedCall> allowed, const std::function<int()>& act) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (!renounce_privileges() || !allow_only(allowed)) ::_exit(kRefused);
    ::_exit(act());
  }
  int status = -1;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return status;
}

bool killed_by_filter(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

TEST(Confine, ACallThatIsNotListedKills) {
  EXPECT_TRUE(killed_by_filter(confined({}, [] { return static_cast<int>(::syscall(SYS_getppid)); })));
  EXPECT_TRUE(
      killed_by_filter(confined({}, [] { return static_cast<int>(::syscall(SYS_socket, 1, 1, 0)); })));
  const AllowedCall listed[] = {{SYS_getppid}};
  const int status = confined(listed, [] { return ::syscall(SYS_getppid) > 0 ? 5 : 6; });
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 5);
}

TEST(Confine, AListedArgumentIsAllowedAndAnotherKills) {
  const AllowedCall listed[] = {{SYS_getpriority, 0, 0xFF, PRIO_PROCESS}};
  EXPECT_TRUE(
      WIFEXITED(confined(listed, [] { return ::syscall(SYS_getpriority, PRIO_PROCESS, 0) > 0 ? 0 : 1; })));
  EXPECT_TRUE(killed_by_filter(
      confined(listed, [] { return static_cast<int>(::syscall(SYS_getpriority, PRIO_USER, 0)); })));
}

TEST(Confine, MemoryNeverBecomesExecutable) {
  const auto map = [](int protection) {
    return [protection] {
      return ::mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 1 : 0;
    };
  };
  const int plain = confined({}, map(PROT_READ | PROT_WRITE));
  EXPECT_TRUE(WIFEXITED(plain) && WEXITSTATUS(plain) == 0);
  EXPECT_TRUE(killed_by_filter(confined({}, map(PROT_READ | PROT_EXEC))));
}

TEST(Confine, NoCoreNoDumpNoNewPrivileges) {
  const AllowedCall listed[] = {{SYS_prctl}, {SYS_prlimit64}};
  const int status = confined(listed, [] {
    rlimit core{};
    ::getrlimit(RLIMIT_CORE, &core);
    return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && ::prctl(PR_GET_DUMPABLE) == 0 &&
                   core.rlim_max == 0
               ? 0
               : 1;
  });
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Confine, ALimitIsNeverRaised) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    rlimit now{};
    const bool ok = limit_resource(RLIMIT_NOFILE, 50) && limit_resource(RLIMIT_NOFILE, 60) &&
                    ::getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == 50 && now.rlim_max == 50;
    ::_exit(ok ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace skerry
