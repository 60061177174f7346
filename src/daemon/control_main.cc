// skerry-control: the gateway API, the store, the vault, builds, usage, and what edges follow. Runs as its own user; see docs/ARCHITECTURE.md.
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "daemon/control.h"
#include "daemon/inherited.h"
#include "daemon/signals.h"
#include "os/unix_socket.h"

namespace {

int fail_start(const skerry::Logger& logger, const skerry::Error& error) {
  logger.error("control cannot start", {{"error", error.message()}});
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace skerry;
  if (argc != 3 || std::strcmp(argv[1], "--config") != 0) {
    fmt::print(stderr, "usage: skerry-control --config FILE\nStarted by skerryd, which passes the listening sockets in SKERRY_FDS (api, api_tls, watch).\n");
    return 2;
  }
  auto inherited = take_inherited_descriptors();
  const auto config = read_config(argv[2], ConfigFile::kOptional);
  const Logger logger(STDERR_FILENO, "control", config ? config->location : "local");
  if (!inherited) return fail_start(logger, inherited.error());
  if (!config) return fail_start(logger, config.error());
  // Alone, without skerryd: the unix sockets of its own.
  for (const auto& [name, file] : {std::pair{"api", "control"}, {"watch", "watch"}}) {
    if (inherited->contains(name)) continue;
    auto fd = listen_unix(fmt::format("{}/{}.sock", config->run_dir, file), SocketType::kStream, {::getuid(), ::getgid(), 0600});
    if (!fd) return fail_start(logger, fd.error());
    (*inherited)[name] = std::move(*fd);
  }
  const SystemClock clock;
  auto loop = Loop::create(clock);
  if (!loop) return fail_start(logger, loop.error());
  auto control = Control::create(**loop, logger, *config);
  if (!control) return fail_start(logger, control.error());
  Scope signals(**loop);
  signals.spawn(watch_stop_signals(**loop, [&control] { (*control)->stop(); }));
  (*control)->run(std::move((*inherited)["api"]), std::move((*inherited)["api_tls"]), std::move((*inherited)["watch"]));
  logger.info("control is up");
  (*loop)->run();
  return 0;
}
