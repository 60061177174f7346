// skerry-sandboxd ROLE: the processes that make containers. Links no TLS, SQL or HTTP; reads only typed, bounded messages.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

#include "os/file.h"
#include "os/unix_socket.h"
#include "sandboxd/features.h"
#include "sandboxd/filler.h"
#include "sandboxd/reaper.h"
#include "sandboxd/settings.h"
#include "sandboxd/starter.h"

namespace {

volatile bool stop_asked = false;
void ask_stop(int) { stop_asked = true; }

using namespace skerry;

// Descriptor 3 when skerryd passed a listening socket, else one of our own.
Result<UniqueFd> listener_of(const sandbox::Settings& settings) {
  int listening = 0;
  socklen_t size = sizeof listening;
  if (::getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening == 1) {
    ::fcntl(3, F_SETFD, FD_CLOEXEC);
    TRY(set_nonblocking(3));
    return UniqueFd(3);
  }
  TRY(make_directories(settings.run_dir, 0711));
  return listen_unix(fmt::format("{}/{}.sock", settings.run_dir, settings.role), SocketType::kSeqpacket, {0, 0, 0666});
}

template <typename Role>
int run_role(const sandbox::Settings& settings, const Logger& logger) {
  auto listener = listener_of(settings);
  Role role(settings, logger);
  const Result<void> prepared = listener ? role.prepare(std::move(*listener)) : pass(std::move(listener).error());
  if (!prepared) {
    logger.error("cannot start", {{"error", prepared.error().message()}});
    return 1;
  }
  logger.info("up");
  role.run(stop_asked);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto settings = sandbox::parse_settings(argc, argv);
  if (!settings) {
    std::fprintf(stderr, "skerry-sandboxd: %s\n", settings.error().message().c_str());
    return 2;
  }
  struct sigaction action {};
  action.sa_handler = ask_stop;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const Logger logger(STDERR_FILENO, settings->role);
  if (settings->role == "doctor") {
    const auto features = sandbox::probe_features(*settings);
    std::fputs(sandbox::features_text(features).c_str(), stdout);
    return sandbox::require_features(features) ? 0 : 1;
  }
  if (::geteuid() != 0) {
    std::fprintf(stderr, "skerry-sandboxd: needs root: run it through sudo\n");
    return 1;
  }
  if (settings->role == "starter") return run_role<sandbox::Starter>(*settings, logger);
  if (settings->role == "filler") return run_role<sandbox::Filler>(*settings, logger);
  if (settings->role == "reaper") return run_role<sandbox::Reaper>(*settings, logger);
  if (settings->role == "sweep") {
    sandbox::Reaper reaper(*settings, logger);
    if (auto swept = reaper.sweep_everything(); !swept) {
      std::fprintf(stderr, "skerry-sandboxd: %s\n", swept.error().message().c_str());
      return 1;
    }
    return 0;
  }
  std::fprintf(stderr, "skerry-sandboxd: unknown role `%s` (starter, filler, reaper, sweep, doctor)\n", settings->role.c_str());
  return 2;
}
