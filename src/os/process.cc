#include "os/process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "os/file.h"

namespace skerry {
namespace {

// Linux 5.9 has close_range, 5.11 its flag. Descriptors past the limit cannot be made.
Result<void> on_each(unsigned first, unsigned last, unsigned flags) {
  if (::syscall(SYS_close_range, first, last, flags) == 0) return {};
  if (errno != ENOSYS && (errno != EINVAL || flags == 0)) return fail_errno("close_range");
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("getrlimit");
  const auto end = std::min<rlim_t>(limit.rlim_max, rlim_t{last} + 1);
  for (rlim_t fd = first; fd < end; ++fd) {
    if (flags == 0) ::close(static_cast<int>(fd));
    else ::fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
  }
  return {};
}

struct ChildFailure {
  int error;
  char step[24];
};

[[noreturn]] void report(int fd, const char* step) {
  ChildFailure failure{errno, {}};
  std::strncpy(failure.step, step, sizeof failure.step - 1);
  [[maybe_unused]] const ssize_t n = ::write(fd, &failure, sizeof failure);
  ::_exit(127);
}

// Runs in the child. Moves every descriptor out of the way first, so that no target number overwrites a source.
[[noreturn]] void run_child(const SpawnOptions& options, int report_fd, pid_t parent, char* const* argv, char* const* envp) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int s = 1; s < NSIG; ++s) ::signal(s, SIG_DFL);
  if (options.new_session) ::setsid();
  int highest = 2;
  for (const auto& [ours, target] : options.fds) highest = std::max(highest, target);
  const int moved_report = ::fcntl(report_fd, F_DUPFD_CLOEXEC, highest + 1);
  if (moved_report < 0) report(report_fd, "dup report");
  int sources[64];
  size_t count = 0;
  for (const auto& [ours, target] : options.fds) {
    sources[count] = ::fcntl(ours, F_DUPFD_CLOEXEC, highest + 1);
    if (sources[count++] < 0) report(moved_report, "dup");
  }
  count = 0;
  for (const auto& [ours, target] : options.fds) {
    if (::dup2(sources[count++], target) < 0) report(moved_report, "dup2");
  }
  // Marks all others close-on-exec rather than closing: the report pipe lives until exec succeeds.
  for (int fd = 0; fd <= highest; ++fd) {
    const bool wanted = std::any_of(options.fds.begin(), options.fds.end(), [&](const auto& p) { return p.second == fd; });
    if (!wanted) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  if (!close_descriptors_on_exec(static_cast<unsigned>(highest) + 1)) report(moved_report, "close_range");
  if (options.uid != 0 || options.gid != 0) {
    if (::setgroups(0, nullptr) != 0) report(moved_report, "setgroups");
    if (::setresgid(options.gid, options.gid, options.gid) != 0) report(moved_report, "setresgid");
    if (::setresuid(options.uid, options.uid, options.uid) != 0) report(moved_report, "setresuid");
  }
  if (options.die_with_parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) report(moved_report, "pdeathsig");
    if (::getppid() != parent) ::_exit(127);  // the parent died before the signal was armed
  }
  ::execve(argv[0], argv, envp);
  report(moved_report, "execve");
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

Result<void> close_descriptors(unsigned first, unsigned last) { return on_each(first, last, 0); }
Result<void> close_descriptors_on_exec(unsigned first) { return on_each(first, ~0U, CLOSE_RANGE_CLOEXEC); }

pid_t fork_into(int namespaces, UniqueFd* pidfd) {
  int fd = -1;
  const long flags = namespaces | SIGCHLD | (pidfd != nullptr ? CLONE_PIDFD : 0);
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone, flags, nullptr, &fd, nullptr, nullptr));
  if (pid > 0 && pidfd != nullptr) *pidfd = UniqueFd(fd);
  return pid;
}

Result<Child> spawn(const SpawnOptions& options) {
  if (options.argv.empty() || options.fds.size() > 64) return fail(ErrorCode::kInvalidArgument, "spawn: no program, or over 64 descriptors");
  TRY_ASSIGN(Pipe status, make_pipe());
  const std::vector<char*> argv = pointers(options.argv), envp = pointers(options.env);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork for `{}`", options.argv[0]);
  if (pid == 0) run_child(options, status.write.get(), parent, argv.data(), envp.data());
  status.write.reset();
  Child child{pid, UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)))};
  if (!child.pidfd) {
    auto failed = fail_errno("pidfd_open");
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return failed;
  }
  ChildFailure failure{};
  ssize_t n = 0;
  do {
    n = ::read(status.read.get(), &failure, sizeof failure);
  } while (n < 0 && errno == EINTR);
  if (n == 0) return child;  // exec succeeded and closed the pipe
  ::waitpid(pid, nullptr, 0);
  failure.step[sizeof failure.step - 1] = '\0';
  return std::unexpected(Error::from_errno(n == sizeof failure ? failure.error : EIO, fmt::format("start `{}`: {}", options.argv[0], failure.step)));
}

}  // namespace skerry
