#include "runtime/starter_client.h"

#include "os/file.h"

namespace skerry {
namespace {
constexpr auto kReconnectDelay = std::chrono::milliseconds(50);
}  // namespace

StarterClient::StarterClient(Loop& loop, const Logger& logger, std::string path, Receiver& receiver)
    : loop_(loop), logger_(logger), path_(std::move(path)), receiver_(receiver) {}

Result<void> StarterClient::send(const sandbox::ClientMessage& message, std::span<const int> fds) {
  if (!connection_) return fail(ErrorCode::kUnavailable, "sandboxd is restarting");
  return send_message(connection_.get(), sandbox::encode(message), fds);
}

Task<void> StarterClient::run() {
  bool complained = false;
  for (;;) {
    auto connection = connect_unix(path_, SocketType::kSeqpacket);
    if (connection && set_nonblocking(connection->get())) {
      complained = false;
      connection_ = std::move(*connection);
      receiver_.on_connected();
      co_await read_messages();
      connection_.reset();
      receiver_.on_disconnected();
      logger_.warn("the connection to sandboxd ended");
    } else if (!complained) {
      complained = true;
      logger_.warn("sandboxd is not there yet", {{"error", connection ? "" : connection.error().message()}});
    }
    co_await loop_.sleep_until(loop_.now() + kReconnectDelay);
  }
}

Task<void> StarterClient::read_messages() {
  FdWatch watch(loop_, connection_.get());
  for (;;) {
    auto received = receive_message(connection_.get());
    if (!received) {
      if (received.error().sys_errno() != EAGAIN) co_return;
      (void)co_await watch.readable().wait();
      continue;
    }
    auto message = sandbox::decode_starter(received->bytes);
    if (!message) {
      logger_.error("sandboxd sent what is not a message", {{"error", message.error().message()}});
      co_return;
    }
    receiver_.on_message(std::move(*message), std::move(received->fds));
  }
}

}  // namespace skerry
