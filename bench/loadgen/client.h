// One connection of the load: TCP or unix, plain or TLS, one request at a time. Driven by load.cc's epoll loop; never blocks.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <string>

#include "answer.h"
#include "base/result.h"
#include "base/unique_fd.h"

struct ssl_ctx_st;
struct ssl_session_st;
struct ssl_st;

namespace loadgen {

template <typename T = void>
using Result = skerry::Result<T>;

struct Target {
  // "127.0.0.1:8443", "[::1]:80" or "unix:/path". Addresses only: a generator resolves nothing.
  static Result<Target> parse(const std::string& text);

  sockaddr_storage address{};
  socklen_t size = 0;
  bool tcp = false;
};

// The client side of TLS 1.3 for all connections. It checks no certificate: what answers is the bench's own.
class TlsClient {
 public:
  static Result<std::unique_ptr<TlsClient>> create(std::string server_name, bool resume);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  // A session in connect state for `fd`, with the latest ticket where resumption is asked for. Null when out of memory.
  ssl_st* open(int fd);

 private:
  TlsClient() = default;
  static int on_ticket(ssl_st* ssl, ssl_session_st* session);

  ssl_ctx_st* context_ = nullptr;
  ssl_session_st* ticket_ = nullptr;
  std::string server_name_;
  bool resume_ = false;
};

class Client {
 public:
  enum class Event { kNothing, kConnected, kAnswered, kFailed };

  Client(int epoll, const Target& target, TlsClient* tls, const std::string& request) : epoll_(epoll), target_(target), tls_(tls), request_(request) {}
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Result<void> connect();
  // One write: a request is small enough for an empty send buffer; a short write fails.
  Result<void> send();
  // Goes on after an epoll event. kFailed: why() tells.
  Event advance();
  void close();

  [[nodiscard]] bool open() const { return fd_.valid(); }
  [[nodiscard]] bool busy() const { return state_ == State::kWaiting; }
  [[nodiscard]] bool idle() const { return state_ == State::kIdle; }
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] bool server_closes() const { return answer_.closes(); }
  [[nodiscard]] bool resumed() const;
  [[nodiscard]] const std::string& why() const { return why_; }

  uint64_t began = 0;  // of the request in progress, set by the caller

 private:
  enum class State { kClosed, kConnecting, kHandshaking, kIdle, kWaiting };

  Event handshake();
  Event read_answer();
  // Bytes read, 0 when there are none now, -1 when the connection ended.
  int read_some(char* into, int size);
  Event failed(std::string why);

  int epoll_;
  const Target& target_;
  TlsClient* tls_;
  const std::string& request_;
  skerry::UniqueFd fd_;
  ssl_st* ssl_ = nullptr;
  State state_ = State::kClosed;
  AnswerReader answer_;
  int status_ = 0;
  std::string why_;
};

}  // namespace loadgen
