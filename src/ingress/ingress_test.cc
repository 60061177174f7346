#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "ingress/access_log.h"
#include "ingress/call_depths.h"
#include "ingress/headers.h"
#include "ingress/route_table.h"

namespace skerry {
namespace {

struct Written {
  UniqueFd read, write;
  Written() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) std::abort();
    read = UniqueFd(fds[0]);
    write = UniqueFd(fds[1]);
  }
  // What one write(2) or more gave since the last call.
  std::string take() {
    char buffer[65536];
    const ssize_t n = ::read(read.get(), buffer, sizeof buffer);
    return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : std::string();
  }
};

TEST(AccessLog, LinesOfOneRoundAreWrittenTogetherWhenTheLoopRests) {
  SystemClock clock;
  auto loop = *Loop::create(clock);
  Written to;
  const Logger logger(to.write.get(), "edge");
  AccessLog log(*loop, logger, 1);
  for (int i = 0; i < 3; ++i) log.append({{"path", "/a\"\n"}, {"n", i}});
  EXPECT_EQ(to.take(), "");
  loop->run_ready();
  const std::string text = to.take();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_NE(text.find(R"("message":"request","path":"/a\"\n","n":2})"), std::string::npos) << text;
  loop->run_ready();
  EXPECT_EQ(to.take(), "");
}

TEST(AccessLog, NoWriteIsLargerThanAPipeTakesWhole) {
  SystemClock clock;
  auto loop = *Loop::create(clock);
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);  // keeps writes apart
  const UniqueFd read(fds[0]), write(fds[1]);
  const Logger logger(write.get(), "edge");
  AccessLog log(*loop, logger, 1);
  for (int i = 0; i < 50; ++i) log.append({{"path", std::string(300, 'x')}, {"n", i}});
  loop->run_ready();
  int writes = 0;
  ssize_t lines = 0;
  char buffer[65536];
  for (ssize_t n = 0; (n = ::read(read.get(), buffer, sizeof buffer)) > 0; ++writes) {
    EXPECT_LE(n, 4096);
    EXPECT_EQ(buffer[n - 1], '\n');
    lines += std::count(buffer, buffer + n, '\n');
  }
  EXPECT_EQ(lines, 50);
  EXPECT_LT(writes, 10);
}

TEST(AccessLog, SamplesEvenlyAndNeverLeavesOutAServersError) {
  SystemClock clock;
  auto loop = *Loop::create(clock);
  const Logger logger(-1, "edge");
  AccessLog quarter(*loop, logger, 0.25), none(*loop, logger, 0), all(*loop, logger, 1);
  int told = 0, of_none = 0, of_all = 0;
  for (int i = 0; i < 1000; ++i) {
    told += quarter.wants(200) ? 1 : 0;
    of_none += none.wants(404) ? 1 : 0;
    of_all += all.wants(200) ? 1 : 0;
  }
  EXPECT_EQ(told, 250);
  EXPECT_EQ(of_none, 0);
  EXPECT_EQ(of_all, 1000);
  EXPECT_TRUE(none.wants(500));
  EXPECT_TRUE(none.wants(503));
}

http::RequestHead parsed(std::string& text) {
  auto head = http::parse_request(text);
  EXPECT_TRUE(head) << text;
  return head ? std::move(*head) : http::RequestHead{};
}

TEST(Headers, NothingThatACallerCouldPretendPasses) {
  std::string text =
      "POST /p?q=1 HTTP/1.1\r\nHost: a.skerry.localhost\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: b\r\nForwarded: for=x\r\nX-Real-IP: y\r\n"
      "X-Skerry-Hops: 3\r\nX-Skerry-Anything: z\r\nConnection: keep-alive, X-Mine\r\nX-Mine: gone\r\nTE: trailers\r\nKeep-Alive: 5\r\nCookie: a=b\r\n"
      "Content-Length: 3\r\n\r\n";
  const auto head = parsed(text);
  EXPECT_EQ(hops_of(head), 3);
  RandomPool random;
  const std::string out = upstream_head(head, {"203.0.113.9", "https", "req-1", 3}, random);
  EXPECT_TRUE(out.starts_with("POST /p?q=1 HTTP/1.1\r\nhost: a.skerry.localhost\r\ncookie: a=b\r\n")) << out;
  EXPECT_NE(out.find("\r\nx-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\nx-forwarded-host: a.skerry.localhost\r\n"), std::string::npos) << out;
  EXPECT_NE(out.find("\r\nx-request-id: req-1\r\n"), std::string::npos);
  EXPECT_NE(out.find("\r\nx-skerry-hops: 4\r\ncontent-length: 3\r\n\r\n"), std::string::npos) << out;
  for (const char* gone : {"192.0.2.1", "for=x", "x-real-ip", "anything", "x-mine", "keep-alive", "trailers"}) EXPECT_EQ(out.find(gone), std::string::npos) << gone;
}

TEST(Headers, ATraceIsKeptOrBegun) {
  RandomPool random;
  std::string with = "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
  EXPECT_NE(upstream_head(parsed(with), {}, random).find("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"), std::string::npos);
  std::string bad = "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n\r\n";
  std::set<std::string> begun;
  for (int i = 0; i < 50; ++i) {
    const std::string out = upstream_head(parsed(bad), {}, random);
    const std::string trace = out.substr(out.find("traceparent: ") + 13, 55);
    EXPECT_EQ(trace.substr(0, 3) + trace.substr(35, 1) + trace.substr(52), "00---01") << trace;
    EXPECT_EQ(trace.find_first_not_of("0123456789abcdef-"), std::string::npos) << trace;
    EXPECT_TRUE(begun.insert(trace).second);
  }
}

TEST(Headers, AHopCountThatIsNoneIsTheEndOfTheChain) {
  for (const char* value : {"-1", "9", "1x", "", "99999999999999999999"}) {
    std::string text = std::string("GET / HTTP/1.1\r\nHost: h\r\nX-Skerry-Hops: ") + value + "\r\n\r\n";
    EXPECT_EQ(hops_of(parsed(text)), *value == '\0' ? 0 : kMaxHops + 1) << value;
  }
}

RevisionConfig revision(const char* id) {
  RevisionConfig r;
  r.id = RevisionId(id);
  return r;
}

TEST(CallDepths, ACallGoesOneFurtherThanTheDeepestRequestInProgress) {
  CallDepths depths;
  const InstanceId a("a");
  EXPECT_EQ(depths.hops_from(7), 0);
  depths.placed(a, 7);
  EXPECT_EQ(depths.hops_from(7), 0);
  depths.enter(a, 0);
  EXPECT_EQ(depths.hops_from(7), 1);
  depths.enter(a, kMaxHops);
  depths.enter(a, 3);
  EXPECT_EQ(depths.hops_from(7), kMaxHops + 1);
  depths.leave(a, kMaxHops);
  EXPECT_EQ(depths.hops_from(7), 4);
  EXPECT_EQ(depths.hops_from(8), 0);
}

TEST(CallDepths, AfterItsRequestsAnInstanceStandsWhereTheLastOneStood) {
  CallDepths depths;
  const InstanceId a("a");
  depths.placed(a, 7);
  depths.enter(a, 5);
  depths.leave(a, 5);
  EXPECT_EQ(depths.hops_from(7), 6);
  depths.enter(a, 0);
  EXPECT_EQ(depths.hops_from(7), 1);
  depths.leave(a, 0);
  EXPECT_EQ(depths.hops_from(7), 1);
}

TEST(CallDepths, AnAddressForgetsItsInstanceWithTheNextOne) {
  CallDepths depths;
  const InstanceId a("a"), b("b");
  depths.placed(a, 7);
  depths.enter(a, 5);
  depths.placed(a, 7);  // told again
  EXPECT_EQ(depths.hops_from(7), 6);
  depths.placed(b, 7);
  EXPECT_EQ(depths.hops_from(7), 0);
  depths.leave(a, 5);  // nobody's any more
  depths.enter(a, 5);
  EXPECT_EQ(depths.hops_from(7), 0);
  depths.leave(b, 2);  // placed during the request
  EXPECT_EQ(depths.hops_from(7), 3);
}

TEST(Headers, TimingHasThreeEntriesAndAfterAStartItsPhases) {
  using namespace std::chrono_literals;
  const Timing warm{StartMode::kWarm, 200us, 0us, 1700us, {}};
  EXPECT_EQ(platform_headers("id", "here", &warm), "x-request-id: id\r\nx-skerry-location: here\r\nserver-timing: start;desc=\"warm\";dur=0.0, queue;dur=0.2, fn;dur=1.7\r\n");
  const Timing thaw{StartMode::kThaw, 100us, 100us, 500us, {}};
  EXPECT_NE(platform_headers("id", "here", &thaw).find("start;desc=\"thaw\";dur=0.1, queue;dur=0.0, fn;dur=0.5\r\n"), std::string::npos);
  const Timing boot{StartMode::kBoot, 52ms, 48200us, 2ms, {.slot = 100us, .mount = 640us, .runtime = 30ms, .code = 12ms, .ready = 5ms}};
  EXPECT_NE(platform_headers("id", "here", &boot)
                .find("start;desc=\"boot\";dur=48.2, queue;dur=3.8, fn;dur=2.0, slot;dur=0.1, mount;dur=0.6, runtime;dur=30.0, code;dur=12.0, ready;dur=5.0\r\n"),
            std::string::npos);
}

TEST(RouteTable, WeightsAreKeptAndWhatIsUnknownIsNotServed) {
  FunctionConfig f;
  f.id = FunctionId("f");
  f.name = "orders";
  f.revisions = {revision("one"), revision("two")};
  f.routes = {{"orders.skerry.localhost", {{RevisionId("one"), 90}, {RevisionId("two"), 10}, {RevisionId("gone"), 50}}},
              {"nobody.skerry.localhost", {{RevisionId("gone"), 1}}},
              {"zero.skerry.localhost", {{RevisionId("one"), 0}}}};
  const RouteTable table({f});
  EXPECT_EQ(table.size(), 1U);
  std::map<std::string, int> counts;
  for (uint64_t pick = 0; pick < 1000; ++pick) ++counts[table.find("orders.skerry.localhost", pick)->revision.id.str()];
  EXPECT_EQ(counts, (std::map<std::string, int>{{"one", 900}, {"two", 100}}));
  for (const char* host : {"", "skerry.localhost", "ORDERS.skerry.localhost", "nobody.skerry.localhost", "zero.skerry.localhost", "orders.skerry.localhost."})
    EXPECT_EQ(table.find(host, 0), nullptr) << host;
}

}  // namespace
}  // namespace skerry
