// FakeEdge: for tests, the edge's end of a watch over a socket pair. Reads what control sent; says what it is told to. Used in location/ and gateway/.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "contract/watch.h"
#include "location/watch_server.h"
#include "os/file.h"
#include "os/unix_socket.h"

namespace skerry {

class FakeEdge {
 public:
  FakeEdge(Loop& loop, WatchServer& server) : loop_(loop) {
    auto pair = make_socketpair(SocketType::kStream);
    EXPECT_TRUE(pair) << pair.error().message();
    EXPECT_TRUE(set_nonblocking(pair->second.get()));
    fd_ = std::move(pair->first);
    server.serve(std::move(pair->second));
  }

  void send(const watch::FromEdge& message) { EXPECT_TRUE(write_all(fd_.get(), watch::frame(watch::encode(message)))); }
  void send_bytes(std::string_view bytes) { EXPECT_TRUE(write_all(fd_.get(), bytes)); }
  void leave() { fd_.reset(); }

  // The next message from control that is a T; others before it are dropped. Fails the test after 5 s.
  template <typename T>
  T expect() {
    T found;
    bool there = false;
    EXPECT_TRUE(loop_.run_until(
        [&] {
          read();
          while (!there && !messages_.empty()) {
            if (T* message = std::get_if<T>(&messages_.front())) {
              found = std::move(*message);
              there = true;
            }
            messages_.erase(messages_.begin());
          }
          return there;
        },
        std::chrono::seconds(5)));
    return found;
  }
  // Everything that came and was not asked for yet.
  std::vector<watch::FromControl>& messages() {
    read();
    return messages_;
  }
  [[nodiscard]] bool closed() {
    read();
    return closed_;
  }

 private:
  void read() {
    if (!fd_) return;
    char chunk[65536];
    for (;;) {
      const ssize_t n = ::recv(fd_.get(), chunk, sizeof chunk, MSG_DONTWAIT);
      if (n == 0) closed_ = true;
      if (n <= 0) break;
      buffer_.append(chunk, static_cast<size_t>(n));
    }
    while (buffer_.size() >= 4) {
      uint32_t size = 0;
      for (size_t i = 0; i < 4; ++i) size |= static_cast<uint32_t>(static_cast<unsigned char>(buffer_[i])) << (8 * i);
      if (buffer_.size() < 4 + size_t{size}) return;
      auto message = watch::decode_from_control(std::string_view(buffer_).substr(4, size));
      buffer_.erase(0, 4 + size_t{size});
      ASSERT_TRUE(message) << message.error().message();
      messages_.push_back(std::move(*message));
    }
  }

  Loop& loop_;
  UniqueFd fd_;
  std::string buffer_;
  std::vector<watch::FromControl> messages_;
  bool closed_ = false;
};

}  // namespace skerry
