#include "resolver/forwarder.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>

namespace skerry::dns {
namespace {

std::string question(int id, std::string_view name, int type = kTypeA) {
  std::string out{static_cast<char>(id >> 8), static_cast<char>(id & 255)};
  out.append(std::string("\1\0\0\1\0\0\0\0\0\0", 10));
  while (!name.empty()) {
    const std::string_view label = name.substr(0, name.find('.'));
    out += static_cast<char>(label.size());
    out.append(label);
    name.remove_prefix(std::min(label.size() + 1, name.size()));
  }
  return out + std::string{'\0', static_cast<char>(type >> 8), static_cast<char>(type & 255), '\0', '\1'};
}
std::string reply_to(std::string asked, int code = 0, std::string_view more = "!") {
  asked[2] = static_cast<char>(0x81);
  asked[3] = static_cast<char>(0x80 | code);
  return asked.append(more);
}
int code_of(const std::string& answer) {
  return answer.size() < 4 ? -1 : answer[3] & 15;
}

struct Endpoint {
  UniqueFd fd;
  uint16_t port = 0;
};
uint16_t port_of(int fd) {
  sockaddr_in at{};
  socklen_t size = sizeof at;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  return ntohs(at.sin_port);
}
Endpoint udp(const std::string& address) {
  Endpoint e{*bind_udp(address, 0, Presence::kNow, 1 << 16)};
  e.port = port_of(e.fd.get());
  return e;
}
Endpoint tcp(const std::string& address) {
  Endpoint e{*listen_tcp(address, 0)};
  e.port = port_of(e.fd.get());
  return e;
}

// The loop that is tested and a resolver that the test plays, in one thread: what waits on the resolver's
// socket is taken by hand.
class ForwarderTest : public testing::Test {
 protected:
  ForwarderTest() : loop_(std::move(*Loop::create(clock_))), logger_(STDERR_FILENO, "test") {}

  void start(std::vector<SocketAddress> servers) {
    ForwarderSettings s;
    s.zone = {"skerry.localhost",
              0x7F000001};  // the gateway: 127.0.0.1; containers are all others of 127.0.0.0/8
    s.network = 0x7F000000;
    s.mask = 0xFF000000;
    s.servers = std::move(servers);
    s.resolv_conf = "/nonexistent";
    Endpoint u = udp("127.0.0.1"), t = tcp("127.0.0.1");
    udp_port_ = u.port;
    tcp_port_ = t.port;
    forwarder_ = std::make_unique<Forwarder>(*loop_, logger_, s);
    forwarder_->run(std::move(u.fd), std::move(t.fd));
  }
  static SocketAddress at(const Endpoint& e) { return *parse_address("127.0.0.1", e.port); }

  void ask(const Endpoint& asker, const std::string& message) const {
    const SocketAddress to = *parse_address("127.0.0.1", udp_port_);
    ASSERT_EQ(::sendto(asker.fd.get(), message.data(), message.size(), 0,
                       reinterpret_cast<const sockaddr*>(&to.storage), to.size),
              static_cast<ssize_t>(message.size()));
  }
  struct Datagram {
    std::string bytes;
    SocketAddress from;
  };
  // Runs the loop until the socket has a datagram; "" when none came in time.
  Datagram take(const Endpoint& e, Duration limit = std::chrono::seconds(8)) {
    Datagram d;
    (void)loop_->run_until(
        [&] {
          pollfd p{e.fd.get(), POLLIN, 0};
          return ::poll(&p, 1, 0) > 0;
        },
        limit);
    char buffer[8192];
    d.from.size = sizeof d.from.storage;
    const ssize_t n = ::recvfrom(e.fd.get(), buffer, sizeof buffer, 0,
                                 reinterpret_cast<sockaddr*>(&d.from.storage), &d.from.size);
    if (n > 0) d.bytes.assign(buffer, static_cast<size_t>(n));
    return d;
  }
  static void answer(const Endpoint& e, const Datagram& d, const std::string& bytes) {
    ::sendto(e.fd.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&d.from.storage),
             d.from.size);
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  Logger logger_;
  std::unique_ptr<Forwarder> forwarder_;
  uint16_t udp_port_ = 0, tcp_port_ = 0;
};

TEST_F(ForwarderTest, PassesQuestionsOnUnderAnotherIdAndPortEachTime) {
  const Endpoint server = udp("127.0.0.1"), asker = udp("127.0.0.2");
  start({at(server)});
  std::set<std::string> ids;
  std::set<uint16_t> ports;
  for (int i = 0; i < 8; ++i) {
    ask(asker, question(0x4242, "www.example.org"));
    const Datagram seen = take(server);
    EXPECT_EQ(seen.bytes.substr(2), question(0x4242, "www.example.org").substr(2));
    ids.insert(seen.bytes.substr(0, 2));
    ports.insert(ntohs(reinterpret_cast<const sockaddr_in*>(&seen.from.storage)->sin_port));
    answer(server, seen, reply_to(seen.bytes));
    EXPECT_EQ(take(asker).bytes, reply_to(question(0x4242, "www.example.org")));
  }
  EXPECT_GE(ids.size(), 7U);
  EXPECT_GE(ports.size(), 7U);
}

TEST_F(ForwarderTest, AnswersOwnNamesWithoutAskingAnybody) {
  const Endpoint server = udp("127.0.0.1"), asker = udp("127.0.0.2");
  start({at(server)});
  for (const char* name : {"f-0123456789.skerry.localhost", "localhost"}) {
    ask(asker, question(7, name));
    EXPECT_EQ(code_of(take(asker).bytes), 0);
    ask(asker, question(7, name, 65));
    EXPECT_EQ(code_of(take(asker).bytes), 0);
  }
  EXPECT_EQ(take(server, std::chrono::milliseconds(0)).bytes, "");
}

TEST_F(ForwarderTest, ServesOwnNamesWithoutAResolverAndFailsOthersAtOnce) {
  const Endpoint asker = udp("127.0.0.2");
  start({});
  ask(asker, question(7, "f.skerry.localhost"));
  EXPECT_EQ(code_of(take(asker).bytes), 0);
  const TimePoint begin = loop_->now();
  ask(asker, question(7, "example.org"));
  EXPECT_EQ(code_of(take(asker).bytes), 2);
  EXPECT_LT(loop_->now() - begin, std::chrono::seconds(2));
}

TEST_F(ForwarderTest, ServesContainersOnly) {
  const Endpoint server = udp("127.0.0.1"), gateway = udp("127.0.0.1"), asker = udp("127.0.0.2");
  start({at(server)});
  ask(gateway, question(7, "f.skerry.localhost"));
  ask(asker, question(8, "f.skerry.localhost"));
  EXPECT_EQ(take(asker).bytes[1], 8);  // the first was taken before
  EXPECT_EQ(take(gateway, std::chrono::milliseconds(0)).bytes, "");
}

TEST_F(ForwarderTest, AnswersOfOthersAndToOthersAreIgnored) {
  const Endpoint server = udp("127.0.0.1"), stranger = udp("127.0.0.3"), asker = udp("127.0.0.2");
  start({at(server)});
  ask(asker, question(9, "example.org"));
  const Datagram seen = take(server);
  std::string wrong = reply_to(seen.bytes, 0, "wrong");
  answer(stranger, seen, wrong);  // right in all but whence it comes
  std::string other_id = wrong;
  other_id[0] = static_cast<char>(other_id[0] ^ 1);
  answer(server, seen, other_id);
  answer(server, seen, reply_to(seen.bytes.substr(0, 2) + question(0, "example.com").substr(2), 0, "wrong"));
  answer(server, seen, seen.bytes);  // the question itself
  answer(server, seen, reply_to(seen.bytes, 0, "right"));
  EXPECT_EQ(take(asker).bytes, reply_to(question(9, "example.org"), 0, "right"));
}

TEST_F(ForwarderTest, AServerAddressThatGuessesIsGivenUp) {
  const Endpoint server = udp("127.0.0.1"), asker = udp("127.0.0.2");
  start({at(server)});
  ask(asker, question(9, "example.org"));
  const Datagram seen = take(server);
  std::string guess = reply_to(seen.bytes);
  guess[0] = static_cast<char>(guess[0] ^ 1);
  for (int i = 0; i <= Forwarder::kMaxStrays; ++i) answer(server, seen, guess);
  answer(server, seen, reply_to(seen.bytes));  // one past: the right one comes too late
  EXPECT_EQ(code_of(take(asker).bytes), 2);
}

TEST_F(ForwarderTest, ADeadOrUnwillingServerIsFollowedByTheNext) {
  Endpoint dead = udp("127.0.0.1");
  const Endpoint unwilling = udp("127.0.0.1"), good = udp("127.0.0.1"), asker = udp("127.0.0.2");
  const SocketAddress gone = at(dead);
  dead.fd.reset();
  start({gone, at(unwilling), at(good)});
  ask(asker, question(9, "example.org"));
  const Datagram first = take(unwilling);
  answer(unwilling, first, reply_to(first.bytes, 2));
  const Datagram second = take(good);
  EXPECT_NE(first.bytes.substr(0, 2), second.bytes.substr(0, 2));
  answer(good, second, reply_to(second.bytes));
  EXPECT_EQ(code_of(take(asker).bytes), 0);
}

TEST_F(ForwarderTest, AFailureOfTheLastServerIsPassedOn) {
  const Endpoint server = udp("127.0.0.1"), asker = udp("127.0.0.2");
  start({at(server)});
  ask(asker, question(9, "example.org"));
  const Datagram seen = take(server);
  answer(server, seen, reply_to(seen.bytes, 5));
  EXPECT_EQ(take(asker).bytes, reply_to(question(9, "example.org"), 5));
}

TEST_F(ForwarderTest, ASilentServerIsFollowedByTheNextAndThenAskedLast) {
  const Endpoint silent = udp("127.0.0.1"), good = udp("127.0.0.1"), asker = udp("127.0.0.2");
  start({at(silent), at(good)});
  for (int i = 0; i < 2; ++i) {
    ask(asker, question(9, "example.org"));
    const Datagram seen = take(good);
    answer(good, seen, reply_to(seen.bytes));
    EXPECT_EQ(code_of(take(asker).bytes), 0);
  }
  EXPECT_FALSE(take(silent, std::chrono::milliseconds(0)).bytes.empty());
  EXPECT_TRUE(take(silent, std::chrono::milliseconds(0)).bytes.empty());  // asked once
}

TEST_F(ForwarderTest, AServerThatWasGivenTimeMayStillAnswer) {
  const Endpoint slow = udp("127.0.0.1"), silent = udp("127.0.0.1"), asker = udp("127.0.0.2");
  start({at(slow), at(silent)});
  ask(asker, question(9, "example.org"));
  const Datagram seen = take(slow);
  (void)take(silent);  // by now the second one is asked
  answer(slow, seen, reply_to(seen.bytes));
  EXPECT_EQ(code_of(take(asker).bytes), 0);
}

TEST_F(ForwarderTest, WithoutAnAnswerAQuestionFailsInFiveSeconds) {
  const Endpoint silent = udp("127.0.0.1"), asker = udp("127.0.0.2");
  start({at(silent)});
  const TimePoint begin = loop_->now();
  ask(asker, question(9, "example.org"));
  EXPECT_EQ(take(asker).bytes, reply_to(question(9, "example.org"), 2, ""));
  EXPECT_GE(loop_->now() - begin, Forwarder::kTime);
  size_t attempts = 0;
  while (!take(silent, std::chrono::milliseconds(0)).bytes.empty()) ++attempts;
  EXPECT_EQ(attempts, Forwarder::kMaxAttempts);
}

TEST_F(ForwarderTest, AnAnswerTooLongForTheAskerIsCutToItsHead) {
  const Endpoint server = udp("127.0.0.1"), asker = udp("127.0.0.2");
  start({at(server)});
  const std::string asked = question(9, "example.org");
  for (const size_t bytes : {kPlainUdpBytes, kPlainUdpBytes + 1}) {
    ask(asker, asked);
    const Datagram seen = take(server);
    answer(server, seen, reply_to(seen.bytes, 0, std::string(bytes - asked.size(), 'r')));
    const std::string got = take(asker).bytes;
    if (bytes == kPlainUdpBytes)
      EXPECT_EQ(got.size(), bytes);
    else
      EXPECT_EQ(got, reply_to(asked, 0, "").replace(2, 1, 1, static_cast<char>(0x83)));
  }
}

TEST_F(ForwarderTest, PastItsShareAContainerIsRefusedAndOthersAreServed) {
  const Endpoint silent = udp("127.0.0.1"), flood = udp("127.0.0.2"), other = udp("127.0.0.3");
  start({at(silent)});
  for (size_t i = 0; i < Quota::kInFlightEach; ++i) ask(flood, question(1, "example.org"));
  ask(flood, question(2, "example.org"));
  const std::string refused = take(flood).bytes;
  EXPECT_EQ(code_of(refused), 5);
  EXPECT_EQ(refused[1], 2);
  ask(other, question(3, "example.com"));
  Datagram seen;
  do seen = take(silent);
  while (!seen.bytes.empty() && seen.bytes.find("com") == std::string::npos);
  answer(silent, seen, reply_to(seen.bytes));
  EXPECT_EQ(code_of(take(other).bytes), 0);
}

TEST_F(ForwarderTest, ServesTcpWithTcp) {
  const Endpoint server = tcp("127.0.0.1");
  start({at(server)});
  const std::string asked = question(9, "example.org"),
                    long_answer = reply_to(asked, 0, std::string(20'000, 'r'));
  const auto framed = [](const std::string& m) {
    return std::string{static_cast<char>(m.size() >> 8), static_cast<char>(m.size() & 255)} + m;
  };
  std::string got;
  std::atomic<bool> done = false;
  std::thread resolver([&] {
    pollfd p{server.fd.get(), POLLIN, 0};
    ::poll(&p, 1, 8000);
    const UniqueFd fd(::accept(server.fd.get(), nullptr, nullptr));
    std::string in(2 + asked.size(), '\0');
    if (::recv(fd.get(), in.data(), in.size(), MSG_WAITALL) != static_cast<ssize_t>(in.size())) return;
    const std::string out = framed(reply_to(in.substr(2), 0, std::string(20'000, 'r')));
    (void)::send(fd.get(), out.data(), out.size(), MSG_NOSIGNAL);
  });
  std::thread asker([&] {
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const SocketAddress from = *parse_address("127.0.0.2", 0), to = *parse_address("127.0.0.1", tcp_port_);
    const timeval limit{8, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&from.storage), from.size) == 0 &&
        ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to.storage), to.size) == 0) {
      // Two on one connection; the second is our own name.
      const std::string out = framed(asked) + framed(question(10, "x.skerry.localhost"));
      (void)::send(fd.get(), out.data(), out.size(), MSG_NOSIGNAL);
      got.resize(2 + long_answer.size() + 4);
      const ssize_t n = ::recv(fd.get(), got.data(), got.size(), MSG_WAITALL);
      got.resize(n > 0 ? static_cast<size_t>(n) : 0);
    }
    done = true;
    loop_->post([] {});
  });
  (void)loop_->run_until([&] { return done.load(); }, std::chrono::seconds(10));
  asker.join();
  resolver.join();
  EXPECT_EQ(got.substr(0, 2 + long_answer.size()), framed(long_answer));
  EXPECT_EQ(got.substr(2 + long_answer.size() + 2), std::string("\0\x0a", 2));
}

}  // namespace
}  // namespace skerry::dns
