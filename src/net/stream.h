// Stream: a byte stream over a non-blocking descriptor, with deadlines; plain here, TLS in tls.h.
//
// Thread: its loop's. One reader and one writer at a time. abort() makes every wait, now and later, end with kCancelled; the descriptor is
// closed by the destructor.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "loop/loop.h"

namespace skerry {

class Stream {
 public:
  Stream(Loop& loop, UniqueFd fd);
  virtual ~Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Bytes read, 0 at EOF. kTimeout, kCancelled, kUnavailable (reset) or kIo.
  virtual Task<Result<size_t>> read(std::span<char> into, TimePoint deadline);
  // Writes all of both parts, in one system call where the kernel takes it. The views must live until it returns.
  virtual Task<Result<void>> write(std::string_view first, std::string_view second, TimePoint deadline);
  // No more writes; the peer sees EOF.
  virtual Task<Result<void>> shutdown_write(TimePoint deadline);

  // Waits for a connect() in progress on the descriptor.
  Task<Result<void>> finish_connect(TimePoint deadline);

  // For a connection that was just made: the peer has sent nothing, or epoll will tell.
  void expect_nothing_yet() { drained_ = true; }
  void abort();
  // Makes the read that waits now end with kCancelled; later operations work again. Nothing happens when no read waits.
  void interrupt_read();
  // Runs once, from the loop, when the peer closed its side or the connection failed.
  void on_hangup(std::function<void()> callback);
  [[nodiscard]] bool hung_up() const { return watch_->hung_up(); }
  // Bytes the kernel has taken; when a write failed and this did not move, the peer has seen nothing of it.
  [[nodiscard]] uint64_t bytes_written() const { return bytes_written_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] Loop& loop() const { return loop_; }

 protected:
  enum class Direction : uint8_t { kRead, kWrite };
  // Waits until the descriptor may be ready.
  Task<Result<void>> wait(Direction direction, TimePoint deadline);
  [[nodiscard]] bool aborted() const { return aborted_; }
  // recv(2), without the call where the kernel would only say EAGAIN: a read that gave less than asked for has taken all, and epoll tells of more.
  ssize_t receive(std::span<char> into);
  uint64_t bytes_written_ = 0;

 private:
  Loop& loop_;
  UniqueFd fd_;
  std::unique_ptr<FdWatch> watch_;  // dies before fd_
  bool aborted_ = false;
  bool drained_ = false;
  bool reading_ = false;
  bool interrupted_ = false;
};

// "203.0.113.7:4711", "[::1]:80", or "unix".
[[nodiscard]] std::string peer_address(int fd);
// Starts a connect; the Stream's finish_connect() waits for it. `fd` must be a non-blocking TCP socket.
Result<void> start_connect_tcp(int fd, const std::string& address, uint16_t port);
enum class Loopback { k127, kColon1 };
// The same to 127.0.0.1 or ::1. An IPv6 socket can reach either, but stays with the one it was first tried with: the kernel keeps that one's operations
// past a disconnect. An IPv4 socket, from a machine without IPv6, fails for ::1.
Result<void> start_connect_loopback(int fd, Loopback to, uint16_t port);
// Makes a socket whose connect was refused fit for the next one.
void dissolve_connect(int fd);
Task<Result<std::unique_ptr<Stream>>> connect_unix_stream(Loop& loop, std::string path, TimePoint deadline);

// Accepts until the loop stops or `close()`; calls `on_connection` with each new non-blocking descriptor (TCP_NODELAY set for TCP).
class Listener {
 public:
  Listener(Loop& loop, UniqueFd fd) : fd_(std::move(fd)), watch_(loop, fd_.get()), loop_(loop) {}
  // Out of descriptors: waits a moment instead of spinning; connections wait in the backlog.
  Task<void> run(std::function<void(UniqueFd)> on_connection);
  void close() {
    closed_ = true;
    watch_.wake_all();
  }

 private:
  UniqueFd fd_;
  FdWatch watch_;
  Loop& loop_;
  bool closed_ = false;
};

}  // namespace skerry
