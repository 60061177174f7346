#include "cli/dev_guard.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "os/file.h"
#include "os/process.h"

extern char** environ;

namespace skerry::cli {
namespace {

// Until one of the two is readable or hung up, or the time is over.
void wait_for(int one, int other, int timeout_ms) {
  pollfd fds[] = {{one, POLLIN, 0}, {other, POLLIN, 0}};
  while (::poll(fds, 2, timeout_ms) < 0 && errno == EINTR) {
  }
}

bool is_ready(int fd) {
  pollfd at{fd, POLLIN, 0};
  return ::poll(&at, 1, 0) > 0;
}

// Out of the terminal's reach, with no descriptor but those named and standard error.
void detach(std::vector<unsigned> keep) {
  ::setsid();
  ::prctl(PR_SET_NAME, "skerry-dev-end");
  for (const int s : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::signal(s, SIG_IGN);
  if (const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0) {
    ::dup2(null, STDIN_FILENO);
    ::dup2(null, STDOUT_FILENO);
  }
  std::sort(keep.begin(), keep.end());
  unsigned from = STDERR_FILENO + 1;
  for (const unsigned fd : keep) {
    if (fd > from) (void)close_descriptors(from, fd - 1);
    from = fd + 1;
  }
  (void)close_descriptors(from);
}

Result<Child> start_daemon(const std::string& programs, const DevFolder& folder, const UniqueFd& log) {
  SpawnOptions options;
  options.argv = {programs + "/skerryd", "--config", folder.config_path()};
  // Proxies and mirrors for its builds; skerryd picks the names that it knows.
  for (char** at = environ; *at != nullptr; ++at) options.env.emplace_back(*at);
  options.fds = {{log.get(), STDERR_FILENO}};
  options.die_with_parent = true;
  return spawn(options);
}

void stop_daemon(const Child& daemon) {
  ::kill(daemon.pid, SIGTERM);
  wait_for(daemon.pidfd.get(), -1, kStopTimeMs);
  if (!is_ready(daemon.pidfd.get())) ::kill(daemon.pid, SIGKILL);
  ::waitpid(daemon.pid, nullptr, 0);
}

// The guard's whole life.
int guard(const std::string& programs, const DevFolder& folder, const UniqueFd& log, const UniqueFd& lifeline,
          UniqueFd ended) {
  auto daemon = start_daemon(programs, folder, log);
  if (!daemon) {
    (void)write_all(log.get(), "skerryd: " + daemon.error().message() + "\n");
  } else {
    wait_for(lifeline.get(), daemon->pidfd.get(), -1);
    if (is_ready(daemon->pidfd.get()))
      ::waitpid(daemon->pid, nullptr, 0);
    else
      stop_daemon(*daemon);
  }
  ended.reset();
  wait_for(lifeline.get(), -1, -1);  // the parent reads the log first
  if (auto cleared = clear_dev_folder(programs, folder.tag, folder.path); !cleared) {
    std::fprintf(stderr, "error: %s\n", cleared.error().message().c_str());
    return 1;
  }
  return 0;
}

}  // namespace

Result<DevGuard> DevGuard::start(const std::string& programs, DevFolder& folder) {
  TRY_ASSIGN(const UniqueFd log,
             open_at(AT_FDCWD, folder.log_path(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600));
  TRY_ASSIGN(Pipe lifeline, make_pipe());
  TRY_ASSIGN(Pipe ended, make_pipe());
  std::fflush(nullptr);  // or the guard would print again what waits in a buffer
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    std::vector<unsigned> keep;
    for (const int fd : {log.get(), lifeline.read.get(), ended.write.get(), folder.lock.get()})
      keep.push_back(static_cast<unsigned>(fd));
    detach(std::move(keep));
    ::_exit(guard(programs, folder, log, lifeline.read, std::move(ended.write)));
  }
  folder.lock.reset();
  return DevGuard(pid, std::move(lifeline.write), std::move(ended.read), programs, folder);
}

DevGuard::DevGuard(DevGuard&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      lifeline_(std::move(other.lifeline_)),
      ended_(std::move(other.ended_)),
      programs_(std::move(other.programs_)),
      tag_(std::move(other.tag_)),
      path_(std::move(other.path_)) {}

DevGuard::~DevGuard() {
  finish();
}

bool DevGuard::finish() {
  if (pid_ < 0) return true;
  lifeline_.reset();
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFEXITED(status)) return WEXITSTATUS(status) == 0;
  // Somebody killed the guard, and skerryd with it: what is left is for us to clear.
  auto cleared = clear_dev_folder(programs_, tag_, path_);
  if (!cleared) std::fprintf(stderr, "error: %s\n", cleared.error().message().c_str());
  return cleared.has_value();
}

}  // namespace skerry::cli
