#include "load.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

namespace loadgen {
namespace {

// Serves one connection after another: `answer` to each request, after `delay`.
class Server {
 public:
  Server(std::string answer, std::chrono::milliseconds delay) : answer_(std::move(answer)), delay_(delay) {
    char folder[] = "/tmp/bench-load-XXXXXX";
    folder_ = ::mkdtemp(folder);
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::strncpy(address.sun_path, path().c_str(), sizeof address.sun_path - 1);
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 16), 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    ::unlink(path().c_str());
    ::rmdir(folder_.c_str());
  }
  [[nodiscard]] std::string path() const { return folder_ + "/s"; }

 private:
  void serve() {
    for (;;) {
      const skerry::UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd.valid()) return;
      char request[4096];  // the generator's requests come in one piece
      while (::recv(fd.get(), request, sizeof request, 0) > 0) {
        std::this_thread::sleep_for(delay_);
        if (::send(fd.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL) < 0) break;
      }
    }
  }

  std::string answer_;
  std::chrono::milliseconds delay_;
  std::string folder_;
  skerry::UniqueFd listener_;
  std::thread thread_;
};

constexpr const char* kHello = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

Settings settings(const Server& server) {
  Settings s;
  s.target = "unix:" + server.path();
  s.request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
  s.warmup_s = 0.02;
  s.seconds = 0.2;
  return s;
}

TEST(Load, ClosedLoopCountsWhatWasAnswered) {
  const Server server(kHello, std::chrono::milliseconds(10));
  const auto o = Load::run(settings(server));
  ASSERT_TRUE(o) << o.error().message();
  EXPECT_GT(o->answered, 0u);
  EXPECT_LE(o->answered, 21u);  // one after another, 10 ms each
  EXPECT_GE(o->latency_ns.percentile(1), 10'000'000u);
  EXPECT_EQ(o->errors + o->unsent + o->unanswered, 0u);
}

TEST(Load, OpenLoopAccountsForEveryRequestThatWasDue) {
  const Server server(kHello, std::chrono::milliseconds(10));
  Settings s = settings(server);
  s.rate = 1000;
  s.patience_s = 0.05;
  const auto o = Load::run(s);
  ASSERT_TRUE(o) << o.error().message();
  EXPECT_GT(o->unsent, 100u);  // ten times what the server can do
  EXPECT_EQ(o->latency_ns.count() + o->unsent + o->unanswered, 200u);
  EXPECT_GT(o->latency_ns.max(), 30'000'000u) << "latency does not count from when a request was due";
}

TEST(Load, NewConnectionsAreOneForEachRequest) {
  const Server server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", std::chrono::milliseconds(0));
  Settings s = settings(server);
  s.kind = Connections::kNew;
  const auto o = Load::run(s);
  ASSERT_TRUE(o) << o.error().message();
  EXPECT_GT(o->answered, 1u);
  EXPECT_EQ(o->errors, 0u);
}

TEST(Load, AnswersThatAreNot2xxAreErrors) {
  const Server server("HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n", std::chrono::milliseconds(5));
  const auto o = Load::run(settings(server));
  ASSERT_TRUE(o) << o.error().message();
  EXPECT_GT(o->answered, 0u);
  EXPECT_GE(o->errors, o->answered);  // the one that came after the end is one too
  EXPECT_EQ(o->first_error, "status 503");
  EXPECT_EQ(o->latency_ns.count(), 0u);
}

TEST(Load, SaysWhyNothingWasAnswered) {
  Settings s;
  s.target = "unix:/nonexistent/socket";
  s.request = "GET / HTTP/1.1\r\n\r\n";
  const auto o = Load::run(s);
  ASSERT_FALSE(o);
  EXPECT_NE(o.error().message().find("No such file"), std::string::npos) << o.error().message();
}

}  // namespace
}  // namespace loadgen
