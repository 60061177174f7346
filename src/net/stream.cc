#include "net/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <cstring>

#include "os/file.h"
#include "os/tcp.h"
#include "os/unix_socket.h"

namespace skerry {

Stream::Stream(Loop& loop, UniqueFd fd) : loop_(loop), fd_(std::move(fd)), watch_(std::make_unique<FdWatch>(loop, fd_.get())) {}

void Stream::abort() {
  aborted_ = true;
  watch_->wake_all();
}

void Stream::interrupt_read() {
  if (!reading_) return;
  interrupted_ = true;
  watch_->readable().set();
}

void Stream::on_hangup(std::function<void()> callback) { watch_->on_hangup(std::move(callback)); }

Task<Result<void>> Stream::wait(Direction direction, TimePoint deadline) {
  Event& event = direction == Direction::kRead ? watch_->readable() : watch_->writable();
  // Cleared also when the waiting coroutine is destroyed: a later interrupt must not hit another read.
  struct Reading {
    bool* flag;
    ~Reading() {
      if (flag != nullptr) *flag = false;
    }
  } const reading{direction == Direction::kRead ? &reading_ : nullptr};
  if (reading.flag != nullptr) *reading.flag = true;
  const Wake wake = co_await event.wait(deadline);
  if (direction == Direction::kRead) drained_ = false;
  if (aborted_ || (direction == Direction::kRead && std::exchange(interrupted_, false))) co_return fail(ErrorCode::kCancelled, "the connection was given up");
  if (wake == Wake::kTimeout) co_return fail(ErrorCode::kTimeout, "no progress before the deadline");
  co_return Result<void>{};
}

ssize_t Stream::receive(std::span<char> into) {
  if (drained_) {
    errno = EAGAIN;
    return -1;
  }
  const ssize_t n = ::recv(fd_.get(), into.data(), into.size(), 0);
  // The end of the stream may have been told together with its last bytes, and is not told again.
  if (n > 0 && static_cast<size_t>(n) < into.size()) drained_ = !watch_->hung_up();
  return n;
}

Task<Result<size_t>> Stream::read(std::span<char> into, TimePoint deadline) {
  for (;;) {
    if (aborted_) co_return fail(ErrorCode::kCancelled, "the connection was given up");
    const ssize_t n = receive(into);
    if (n >= 0) co_return static_cast<size_t>(n);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return fail_errno("read");
    CO_TRY(co_await wait(Direction::kRead, deadline));
  }
}

Task<Result<void>> Stream::write(std::string_view first, std::string_view second, TimePoint deadline) {
  while (!first.empty() || !second.empty()) {
    if (aborted_) co_return fail(ErrorCode::kCancelled, "the connection was given up");
    iovec parts[2] = {{const_cast<char*>(first.data()), first.size()}, {const_cast<char*>(second.data()), second.size()}};
    msghdr message{};
    message.msg_iov = first.empty() ? parts + 1 : parts;
    message.msg_iovlen = first.empty() || second.empty() ? 1 : 2;
    const ssize_t n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    if (n >= 0) {
      bytes_written_ += static_cast<uint64_t>(n);
      const size_t of_first = std::min(static_cast<size_t>(n), first.size());
      first.remove_prefix(of_first);
      second.remove_prefix(static_cast<size_t>(n) - of_first);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return fail_errno("write");
    CO_TRY(co_await wait(Direction::kWrite, deadline));
  }
  co_return Result<void>{};
}

Task<Result<void>> Stream::shutdown_write(TimePoint) {
  if (::shutdown(fd_.get(), SHUT_WR) != 0) co_return fail_errno("shutdown");
  co_return Result<void>{};
}

Task<Result<void>> Stream::finish_connect(TimePoint deadline) {
  for (;;) {
    // getpeername tells a connection that stands from one in progress, whatever woke us.
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&peer), &size) == 0) {
      expect_nothing_yet();
      co_return Result<void>{};
    }
    int error = 0;
    socklen_t error_size = sizeof error;
    if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &error_size) != 0) co_return fail_errno("SO_ERROR");
    if (error != 0) co_return std::unexpected(Error::from_errno(error, "connect"));
    CO_TRY(co_await wait(Direction::kWrite, deadline));
  }
}

std::string peer_address(int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return "unknown";
  char text[INET6_ADDRSTRLEN] = {};
  if (peer.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&peer);
    ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    return fmt::format("{}:{}", text, ntohs(v4->sin_port));
  }
  if (peer.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&peer);
    ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    return fmt::format("[{}]:{}", text, ntohs(v6->sin6_port));
  }
  return "unix";
}

Result<void> start_connect_tcp(int fd, const std::string& address, uint16_t port) {
  TRY_ASSIGN(const SocketAddress to, parse_address(address, port));
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to.storage), to.size) != 0 && errno != EINPROGRESS)
    return fail_errno("connect to {} port {}", address, port);
  return {};
}

Result<void> start_connect_loopback(int fd, Loopback to, uint16_t port) {
  int domain = 0;
  socklen_t size = sizeof domain;
  if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) return fail_errno("the domain of a socket");
  if (to == Loopback::kColon1) return start_connect_tcp(fd, "::1", port);
  return start_connect_tcp(fd, domain == AF_INET6 ? "::ffff:127.0.0.1" : "127.0.0.1", port);
}

void dissolve_connect(int fd) {
  sockaddr none{};
  none.sa_family = AF_UNSPEC;
  (void)::connect(fd, &none, sizeof none);
}

Task<Result<std::unique_ptr<Stream>>> connect_unix_stream(Loop& loop, std::string path, TimePoint deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) co_return fail(ErrorCode::kInvalidArgument, "socket path `{}` is too long", path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  for (;;) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) co_return fail_errno("socket");
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      auto stream = std::make_unique<Stream>(loop, std::move(fd));
      stream->expect_nothing_yet();
      co_return stream;
    }
    // A full backlog answers EAGAIN and gives nothing to wait on.
    if (errno != EAGAIN || loop.now() >= deadline) co_return fail_errno("connect `{}`", path);
    co_await loop.sleep_until(loop.now() + std::chrono::milliseconds(2));
  }
}

Task<void> Listener::run(std::function<void(UniqueFd)> on_connection) {
  while (!closed_) {
    UniqueFd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) {
      const int on = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // fails on unix sockets, which have no delay
      on_connection(std::move(fd));
    } else if (errno == EAGAIN) {
      (void)co_await watch_.readable().wait();
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      co_await loop_.sleep_until(loop_.now() + std::chrono::milliseconds(20));
    }
    // Other errors (ECONNABORTED and the like) belong to the one connection that is gone.
  }
}

}  // namespace skerry
