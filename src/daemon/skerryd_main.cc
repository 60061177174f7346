// skerryd: starts Skerry and keeps it running. See supervisor.h.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstring>

#include "daemon/config.h"
#include "daemon/supervisor.h"
#include "os/file.h"

namespace {

int fail_start(const skerry::Error& error) {
  fmt::print(stderr, "skerryd: {}\n", error.message());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace skerry;
  std::string config_path = "/etc/skerry/skerry.toml";
  if (argc == 3 && std::strcmp(argv[1], "--config") == 0) {
    config_path = argv[2];
  } else if (argc != 1) {
    fmt::print(stderr, "usage: skerryd [--config FILE]\nRuns in the foreground until SIGTERM; logs JSON lines to standard error.\n");
    return 2;
  }
  // Before anything is looked at or made: what is in the way of another user is less clear than this.
  if (::geteuid() != 0) return fail_start(Error(ErrorCode::kForbidden, "skerryd makes containers and needs root: run it through sudo, or `make up`"));
  const auto config = read_config(config_path, argc == 3 ? ConfigFile::kRequired : ConfigFile::kOptional);
  if (!config) return fail_start(config.error());
  // Blocked before anything is started; children get an empty mask again.
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&set, s);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);

  // One skerryd for a run folder: the second says so instead of taking the first one's sockets.
  if (auto made = make_directories(config->run_dir, 0755); !made) return fail_start(made.error());
  auto lock = open_at(AT_FDCWD, config->run_dir + "/skerryd.pid", O_RDWR | O_CREAT, 0644);
  if (!lock) return fail_start(lock.error());
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) != 0)
    return fail_start(Error(ErrorCode::kConflict, fmt::format("skerryd runs already for `{}` (pid in {}/skerryd.pid)", config->run_dir, config->run_dir)));
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(lock->get(), 0) != 0 || !write_all(lock->get(), pid)) return fail_start(Error(ErrorCode::kIo, "write skerryd.pid"));

  const Logger logger(STDERR_FILENO, "skerryd", config->location);
  Supervisor supervisor(logger, *config, config_path, program_folder(*config));
  if (auto started = supervisor.start(); !started) return fail_start(started.error());
  supervisor.run();
  return 0;
}
