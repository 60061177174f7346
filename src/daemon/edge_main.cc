// skerry-edge: TLS and HTTP ingress, dispatch, the instances' connections and logs, the meter. Runs as its own user; see docs/ARCHITECTURE.md.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "daemon/edge.h"
#include "daemon/inherited.h"
#include "daemon/signals.h"

namespace {

int fail_start(const skerry::Logger& logger, const skerry::Error& error) {
  logger.error("edge cannot start", {{"error", error.message()}});
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace skerry;
  if (argc != 3 || std::strcmp(argv[1], "--config") != 0) {
    fmt::print(stderr, "usage: skerry-edge --config FILE\nStarted by skerryd, which passes the listening sockets in SKERRY_FDS (https, http, dns, dns_tcp, calls).\n");
    return 2;
  }
  // Function logs and the journal belong to control's group too, which reads and in the end removes them; nothing is for others.
  ::umask(0007);
  auto inherited = take_inherited_descriptors();
  const auto config = read_config(argv[2], ConfigFile::kOptional);
  const Logger logger(STDERR_FILENO, "edge", config ? config->location : "local");
  if (!inherited) return fail_start(logger, inherited.error());
  if (!config) return fail_start(logger, config.error());
  const SystemClock clock;
  auto loop = Loop::create(clock);
  if (!loop) return fail_start(logger, loop.error());
  auto journal = meter::Journal::open(config->state_dir + "/journal");
  if (!journal) return fail_start(logger, journal.error());

  const auto network = container_network(*config);
  if (!network) return fail_start(logger, network.error());

  Edge edge(**loop, logger, *config, *network, std::move(*journal));
  Scope signals(**loop);
  signals.spawn(watch_stop_signals(**loop, [&edge] { edge.drain(); }));
  const auto take = [&](const char* name) { return std::move((*inherited)[name]); };
  edge.run({take("https"), take("http"), take("dns"), take("dns_tcp"), take("calls")});
  logger.info("edge is up");
  (*loop)->run();
  return 0;
}
