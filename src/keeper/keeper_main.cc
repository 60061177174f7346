// skerry-keeper: skerry-keeper --run-dir DIR --state-dir DIR
//
// Listens on descriptor 3 when that is a listening socket (skerryd's), else on <run-dir>/keeper.sock. Its key
// is <state-dir>/keeper/location.key.
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <span>

#include "confine/confine.h"
#include "keeper/keeper.h"
#include "keeper/location_key.h"
#include "os/file.h"
#include "os/unix_socket.h"

namespace skerry::keeper {
namespace {

constexpr int kPassedListener = 3;
constexpr uid_t kStarterUid = 0;
constexpr rlim_t kOpenFiles =
    kMaxDeliveries * 5 + 64;  // five descriptors each until the environment is handed over
constexpr rlim_t kLockableBytes =
    2 * kMaxSecretMemory;  // with less, locking what comes would make memory run out

// No socket, connect, open or exec: after its start it has what it needs, and a pipe or socket more comes
// only from starter.
constexpr AllowedCall kCalls[] = {
    {SYS_read},    {SYS_write},      {SYS_pread64},     {SYS_close},   {SYS_fstat},      {SYS_newfstatat},
    {SYS_fcntl},   {SYS_epoll_wait}, {SYS_epoll_ctl},   {SYS_accept4}, {SYS_recvmsg},    {SYS_mlock},
    {SYS_munlock}, {SYS_getrandom},  {SYS_epoll_pwait}, {SYS_getpid},  {SYS_getsockopt}, {SYS_rt_sigprocmask},
};

struct Arguments {
  std::string run_dir, state_dir;
};

std::optional<Arguments> parse_arguments(std::span<char*> arguments) {
  Arguments parsed;
  if (arguments.size() % 2 != 0) return std::nullopt;
  for (size_t i = 0; i < arguments.size(); i += 2) {
    const std::string_view name = arguments[i];
    if (name == "--run-dir")
      parsed.run_dir = arguments[i + 1];
    else if (name == "--state-dir")
      parsed.state_dir = arguments[i + 1];
    else
      return std::nullopt;
  }
  if (parsed.run_dir.empty() || parsed.state_dir.empty()) return std::nullopt;
  return parsed;
}

Result<UniqueFd> listener(const std::string& run_dir) {
  int listening = 0, type = 0;
  socklen_t size = sizeof listening;
  if (::getsockopt(kPassedListener, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening == 1 &&
      ::getsockopt(kPassedListener, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET) {
    TRY(set_nonblocking(kPassedListener));
    return UniqueFd(kPassedListener);
  }
  return listen_unix(run_dir + "/keeper.sock", SocketType::kSeqpacket, {::geteuid(), ::getegid(), 0600});
}

// Locks memory as far as the limit allows, and says where it does not.
void lock_memory(const Logger& logger) {
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_MEMLOCK, &limit);
  const bool enough = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= kLockableBytes;
  if (::mlockall(enough ? MCL_CURRENT | MCL_FUTURE : MCL_CURRENT) != 0) {
    logger.warn("memory is not locked: keys and values may reach swap",
                {{"errno", errno}, {"limit_bytes", limit.rlim_max}});
  } else if (!enough) {
    logger.warn("only keys and the first values are locked in memory; raise RLIMIT_MEMLOCK",
                {{"limit_bytes", limit.rlim_max}});
  }
}

Result<void> serve(const Logger& logger, const Arguments& arguments) {
  ::signal(SIGPIPE, SIG_IGN);
  TRY(limit_resource(RLIMIT_NOFILE, kOpenFiles));
  TRY(renounce_privileges());
  TRY_ASSIGN(const LocationKeypair keys, load_or_make_location_key(arguments.state_dir + "/keeper"));
  TRY_ASSIGN(UniqueFd listening, listener(arguments.run_dir));
  TRY_ASSIGN(const std::unique_ptr<Keeper> keeper,
             Keeper::make(logger, keys, std::move(listening), kStarterUid));
  lock_memory(logger);
  TRY(allow_only(kCalls));
  logger.info("ready");
  return keeper->run();
}

int run(std::span<char*> arguments) {
  const Logger logger(STDERR_FILENO, "keeper");
  const std::optional<Arguments> parsed = parse_arguments(arguments);
  if (!parsed) {
    std::fputs("skerry-keeper --run-dir DIR --state-dir DIR\n", stderr);
    return 2;
  }
  const auto ended = serve(logger, *parsed);
  logger.error("keeper ends", {{"error", ended ? "" : ended.error().message()}});
  return 1;
}

}  // namespace
}  // namespace skerry::keeper

int main(int argc, char** argv) {
  return skerry::keeper::run(std::span(argv, static_cast<size_t>(argc)).subspan(1));
}
