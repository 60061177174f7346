#include "keeper/keeper.h"

#include <sys/socket.h>
#include <unistd.h>

#include "contract/sandbox_messages.h"
#include "os/file.h"

namespace skerry::keeper {
namespace {

constexpr size_t kDeliverFds = 6;
constexpr size_t kDeliverFdsWithoutLogs = 2;  // a job's output goes elsewhere
constexpr int kMessagesARound = 32;

// SECURITY: an environment pipe that closes without a byte would look like a function without secrets.
void tell_refused(int environment) {
  if (!set_nonblocking(environment)) return;
  [[maybe_unused]] const ssize_t n = ::write(environment, &kRefusalByte, 1);
}

}  // namespace

class Keeper::Connection final : public Handler {
 public:
  Connection(Keeper& keeper, UniqueFd fd) : keeper_(keeper), fd_(std::move(fd)) {}
  ~Connection() override { close(); }

  Result<void> start() { return keeper_.poller_.watch(fd_.get(), EPOLLIN, *this); }
  [[nodiscard]] bool over() const { return !fd_.valid(); }

  void on_ready() override {
    for (int i = 0; i < kMessagesARound && fd_.valid(); ++i) {
      auto message = receive_message(fd_.get());
      if (message) {
        keeper_.take(std::move(*message));
      } else if (message.error().sys_errno() == EAGAIN) {
        return;
      } else {
        if (message.error().code() != ErrorCode::kUnavailable) {
          keeper_.logger_.warn("connection ended", {{"error", message.error().message()}});
        }
        close();
      }
    }
  }

 private:
  void close() {
    if (fd_.valid()) keeper_.poller_.unwatch(fd_.get());
    fd_.reset();
  }

  Keeper& keeper_;
  UniqueFd fd_;
};

Keeper::Keeper(const Logger& logger, const LocationKeypair& keys, UniqueFd listener, uid_t client_uid,
               Poller poller)
    : logger_(logger),
      keys_(keys),
      listener_(std::move(listener)),
      client_uid_(client_uid),
      poller_(std::move(poller)) {}

Keeper::~Keeper() {
  poller_.unwatch(listener_.get());
}

Result<std::unique_ptr<Keeper>> Keeper::make(const Logger& logger, const LocationKeypair& keys,
                                             UniqueFd listener, uid_t client_uid) {
  TRY_ASSIGN(Poller poller, Poller::make());
  auto keeper =
      std::unique_ptr<Keeper>(new Keeper(logger, keys, std::move(listener), client_uid, std::move(poller)));
  TRY(keeper->poller_.watch(keeper->listener_.get(), EPOLLIN, *keeper), "watch the listening socket");
  keeper->listening_ = true;
  return keeper;
}

// SECURITY: a connection is never accepted to be refused for want of room: with it would close, unread, the
// environment pipe of a start.
void Keeper::watch_listener() {
  const bool room = connections_.size() < kMaxConnections;
  if (room == listening_) return;
  if (!room) poller_.unwatch(listener_.get());
  listening_ = room && poller_.watch(listener_.get(), EPOLLIN, *this).has_value();
}

void Keeper::on_ready() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) {
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
      logger_.warn("accept failed", {{"errno", errno}});
    return;
  }
  const auto peer = peer_credentials(fd.get());
  // SECURITY: whoever may deliver chooses where plaintext goes; that is sandboxd alone.
  if (!peer || peer->uid != client_uid_) {
    logger_.warn("connection refused", {{"uid", peer ? static_cast<int64_t>(peer->uid) : -1}});
    return;
  }
  auto connection = std::make_unique<Connection>(*this, std::move(fd));
  if (auto started = connection->start(); !started) {
    logger_.error("connection refused", {{"error", started.error().message()}});
    return;
  }
  connections_.push_back(std::move(connection));
  watch_listener();
}

void Keeper::take(Message message) {
  const auto refuse = [&](std::string_view id, const std::string& why) {
    logger_.error("secrets not delivered", {{"instance", id}, {"error", why}});
    if (message.fds.size() >= 2) tell_refused(message.fds[1].get());
  };
  auto deliver = sandbox::decode_deliver(message.bytes);
  if (!deliver) return refuse("", deliver.error().message());
  if (message.fds.size() != kDeliverFds && message.fds.size() != kDeliverFdsWithoutLogs)
    return refuse(deliver->id, fmt::format("{} descriptors, not {} or {}", message.fds.size(), kDeliverFds,
                                           kDeliverFdsWithoutLogs));
  if (deliveries_.size() >= kMaxDeliveries)
    return refuse(deliver->id, fmt::format("more than {} instances with secrets", kMaxDeliveries));
  size_t memory = 0;
  for (const auto& delivery : deliveries_) memory += delivery->secret_bytes();
  if (memory > kMaxSecretMemory)
    return refuse(deliver->id, fmt::format("secrets of all instances take over {} bytes", kMaxSecretMemory));

  std::vector<UniqueFd>& f = message.fds;
  f.resize(kDeliverFds);
  DeliveryFds fds{std::move(f[0]), std::move(f[1]), std::move(f[2]),
                  std::move(f[3]), std::move(f[4]), std::move(f[5])};
  auto begun = Delivery::begin(poller_, keys_, fds);
  if (!begun) {
    if (fds.environment.valid()) tell_refused(fds.environment.get());
    logger_.error("secrets not delivered", {{"instance", deliver->id}, {"error", begun.error().message()}});
    return;
  }
  deliveries_.push_back(std::move(*begun));
}

void Keeper::sweep() {
  std::erase_if(connections_, [](const auto& c) { return c->over(); });
  std::erase_if(deliveries_, [](const auto& d) { return d->over(); });
  watch_listener();
}

Result<void> Keeper::run_once(int timeout_ms) {
  TRY(poller_.run_once(timeout_ms));
  sweep();  // after the round: nothing that had an event in it was freed before its turn
  return {};
}

Result<void> Keeper::run() {
  for (;;) TRY(run_once(-1));
}

}  // namespace skerry::keeper
