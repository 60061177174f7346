#include <gtest/gtest.h>
#include <sys/socket.h>

#include "loop/scope.h"
#include "net/certificates.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/tls.h"
#include "net/trust_files.h"
#include "os/file.h"

namespace skerry {
namespace {

using namespace std::chrono_literals;

// Echoes method, target and body; /stream answers in two chunks; /early answers without reading the body.
class EchoHandler final : public RequestHandler {
 public:
  Task<void> handle(Exchange& exchange) override {
    ++requests;
    if (exchange.head().target == "/early") {
      (void)co_await exchange.respond(200, "text/plain", "early");
      co_return;
    }
    if (exchange.head().target == "/stream") {
      exchange.begin(200, "", BodyKind::kChunked);
      (void)co_await exchange.body("one");
      (void)co_await exchange.body("two");
      (void)co_await exchange.finish();
      co_return;
    }
    std::string text = std::string(exchange.head().method) + " " + std::string(exchange.head().target) + " ";
    for (;;) {
      auto piece = co_await exchange.read_body();
      if (!piece) {
        const bool large = piece.error().code() == ErrorCode::kTooLarge;
        exchange.close_after();
        (void)co_await exchange.respond_error(large ? 413 : 400, large ? "body_too_large" : "bad_request", piece.error().message(), "r");
        co_return;
      }
      if (piece->empty()) break;
      text += *piece;
    }
    (void)co_await exchange.respond(200, "text/plain", text);
  }
  int requests = 0;
};

// What a reader with a buffer of 10 bytes gets, a piece an element, and "end" or the error.
Task<void> read_pieces(Stream& stream, std::vector<std::string>& out) {
  char buffer[10];
  for (;;) {
    auto n = co_await stream.read(buffer, stream.loop().now() + 5s);
    out.push_back(!n ? n.error().message() : *n == 0 ? "end" : std::string(buffer, *n));
    if (!n || *n == 0) co_return;
  }
}

class StreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    peer_ = UniqueFd(fds[0]);
    stream_ = std::make_unique<Stream>(*loop_, UniqueFd(fds[1]));
  }
  SystemClock clock_;
  std::unique_ptr<Loop> loop_ = *Loop::create(clock_);
  UniqueFd peer_;
  std::unique_ptr<Stream> stream_;
  std::vector<std::string> got_;
};

TEST_F(StreamTest, ShortReads_MissNothingThatComesLater) {
  Scope scope(*loop_);
  std::vector<std::string> sent;
  scope.spawn(read_pieces(*stream_, got_));
  // Short, whole and larger than the buffer; the loop sees some of them together.
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(write_all(peer_.get(), std::string(static_cast<size_t>(i % 23 + 1), static_cast<char>('a' + i % 26))));
    if (i % 3 != 0) loop_->run_ready();
  }
  peer_.reset();
  ASSERT_TRUE(loop_->run_until([&] { return scope.running() == 0; }, 5s));
  size_t bytes = 0, expected = 0;
  for (const std::string& piece : got_) bytes += piece == "end" ? 0 : piece.size();
  for (int i = 0; i < 200; ++i) expected += static_cast<size_t>(i % 23 + 1);
  EXPECT_EQ(bytes, expected);
  EXPECT_EQ(got_.back(), "end");
}

TEST_F(StreamTest, TheEndThatCameWithTheLastBytesIsSeen) {
  for (const char* reader : {"waits", "comes before the loop was told", "comes after"}) {
    SCOPED_TRACE(reader);
    SetUp();
    got_.clear();
    Scope scope(*loop_);
    if (*reader == 'w') {
      scope.spawn(read_pieces(*stream_, got_));
      loop_->run_ready();
    }
    ASSERT_TRUE(write_all(peer_.get(), "last"));
    peer_.reset();
    if (reader == std::string_view("comes after")) loop_->run_ready();
    if (*reader != 'w') scope.spawn(read_pieces(*stream_, got_));
    ASSERT_TRUE(loop_->run_until([&] { return scope.running() == 0; }, 2s));
    EXPECT_EQ(got_, (std::vector<std::string>{"last", "end"}));
  }
}

TEST_F(StreamTest, WhatCameBeforeTheFirstReadIsToldThoughNothingWasExpected) {
  ASSERT_TRUE(write_all(peer_.get(), "early"));
  stream_->expect_nothing_yet();
  Scope scope(*loop_);
  scope.spawn(read_pieces(*stream_, got_));
  EXPECT_TRUE(got_.empty());
  ASSERT_TRUE(loop_->run_until([&] { return !got_.empty(); }, 2s));
  EXPECT_EQ(got_[0], "early");
  stream_->abort();
  ASSERT_TRUE(loop_->run_until([&] { return scope.running() == 0; }, 2s));
}

class HttpServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    client_ = UniqueFd(fds[0]);
    limits_.max_body_bytes = 100;
    limits_.max_drain_bytes = 50;
    connection_ = std::make_unique<HttpConnection>(std::make_unique<Stream>(*loop_, UniqueFd(fds[1])), limits_, handler_);
  }
  // Sends `text`, half-closes, and gives everything the server answered.
  std::string talk(std::string_view text) {
    EXPECT_TRUE(write_all(client_.get(), text));
    Scope scope(*loop_);
    scope.spawn(connection_->serve(draining_));
    EXPECT_TRUE(loop_->run_until([&] { return scope.running() == 0 || answered(); }, 5s));
    ::shutdown(client_.get(), SHUT_WR);
    EXPECT_TRUE(loop_->run_until([&] { return scope.running() == 0; }, 5s));
    answered();
    return got_;
  }
  bool answered() {
    char buffer[65536];
    const ssize_t n = ::recv(client_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n > 0) got_.append(buffer, static_cast<size_t>(n));
    return n <= 0 && !got_.empty();
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_ = *Loop::create(clock_);
  ServerLimits limits_;
  EchoHandler handler_;
  UniqueFd client_;
  std::unique_ptr<HttpConnection> connection_;
  std::string got_;
  bool draining_ = false;
};

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  const std::string got = talk("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyzGET /b HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(got.find("POST /a xyz"), std::string::npos) << got;
  EXPECT_LT(got.find("POST /a xyz"), got.find("GET /b "));
  EXPECT_EQ(handler_.requests, 2);
}

TEST_F(HttpServerTest, DecodesChunkedAndEncodesStreams) {
  const std::string got = talk("POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
                               "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(got.find("POST /c abcde"), std::string::npos);
  EXPECT_NE(got.find("transfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), std::string::npos) << got;
}

TEST_F(HttpServerTest, AnOldClientGetsNoChunks) {
  const std::string got = talk("GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(got.ends_with("connection: close\r\n\r\nonetwo")) << got;
}

TEST_F(HttpServerTest, HeadCarriesNoBody) {
  const std::string got = talk("HEAD /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(got.ends_with("\r\n\r\n"));
  EXPECT_NE(got.find("content-length: 8"), std::string::npos) << got;
}

TEST_F(HttpServerTest, BadRequestsAreAnsweredAndNeverReachTheHandler) {
  const std::string got = talk("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(got.starts_with("HTTP/1.1 400 Bad Request\r\n")) << got;
  EXPECT_NE(got.find("\"code\":\"bad_request\""), std::string::npos);
  EXPECT_EQ(handler_.requests, 0);
}

TEST_F(HttpServerTest, BodiesHaveALimit) {
  EXPECT_TRUE(talk("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n" + std::string(101, 'x')).starts_with("HTTP/1.1 413"));
}

TEST_F(HttpServerTest, BodiesAtTheLimitPass) {
  EXPECT_TRUE(talk("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n" + std::string(100, 'x')).starts_with("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, AnUnreadBodyIsDrainedSoThatTheNextRequestIsSeen) {
  const std::string got = talk("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(got.find("GET /next"), std::string::npos) << got;
}

TEST_F(HttpServerTest, AnUnreadBodyOverTheBoundEndsTheConnection) {
  const std::string got = talk("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 60\r\n\r\n" + std::string(60, 'x') + "GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(got.find("GET /next"), std::string::npos) << got;
}

TEST_F(HttpServerTest, ExpectContinueIsAnsweredWhenTheBodyIsWanted) {
  ASSERT_TRUE(write_all(client_.get(), "POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"));
  Scope scope(*loop_);
  scope.spawn(connection_->serve(draining_));
  EXPECT_TRUE(loop_->run_until([&] { return answered(); }, 5s));
  EXPECT_EQ(got_, "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(write_all(client_.get(), "ok"));
  EXPECT_TRUE(loop_->run_until([&] { return answered() && got_.find("POST /e ok") != std::string::npos; }, 5s));
}

TEST_F(HttpServerTest, ASlowHeadGets408) {
  limits_.head_timeout = 5ms;
  EXPECT_TRUE(talk("GET / HT").starts_with("HTTP/1.1 408")) << got_;
}

Task<void> ask(HttpClientConnection& client, std::string& out) {
  (void)co_await client.write("GET /stream HTTP/1.1\r\nhost: a.skerry.localhost\r\n\r\n", {}, kNoDeadline);
  auto head = co_await client.read_head("GET", kNoDeadline);
  if (!head) {
    out = head.error().message();
    co_return;
  }
  for (;;) {
    auto piece = co_await client.read_body(kNoDeadline);
    if (!piece || piece->empty()) break;
    out += *piece;
  }
  if (client.reusable()) out += "+";
}

Task<void> ask_over_tls(Loop& loop, UniqueFd fd, TlsContext& context, std::string name, std::string& out) {
  auto stream = std::make_unique<TlsStream>(loop, std::move(fd), context);
  if (auto connected = co_await stream->connect(std::move(name), kNoDeadline); !connected) {
    out = connected.error().message();
    co_return;
  }
  HttpClientConnection client(std::move(stream));
  co_await ask(client, out);
}

Task<void> serve_tls(Loop& loop, UniqueFd fd, TlsContext& context, const ServerLimits& limits, RequestHandler& handler, const bool& draining) {
  auto stream = std::make_unique<TlsStream>(loop, std::move(fd), context);
  if (!co_await stream->accept(kNoDeadline)) co_return;
  HttpConnection connection(std::move(stream), limits, handler);
  co_await connection.serve(draining);
}

// What `keytool` of Java 17 makes of no certificate, with its usual password.
const std::string kEmptyJavaStore("\xFE\xED\xFE\xED\0\0\0\2\0\0\0\0\xE2\x68\x6E\x45\xFB\x43\xDF\xA4\xD9\x92\xDD\x41\xCE\xB6\xB2\x1C\x63\x30\xD7\x92", 32);

TEST(TrustFiles, JavaStoreGetsOneEntryMoreAndItsSeal) {
  const std::string pem = make_certificate_authority("test CA").value().certificate_pem;
  const std::string one = java_trust_store_with(kEmptyJavaStore, pem, "first").value();
  const std::string two = java_trust_store_with(one, pem, "second").value();
  EXPECT_EQ(one.substr(0, 12), std::string("\xFE\xED\xFE\xED\0\0\0\2\0\0\0\1", 12));
  EXPECT_EQ(two.substr(0, 12), std::string("\xFE\xED\xFE\xED\0\0\0\2\0\0\0\2", 12));
  EXPECT_EQ(one.substr(12, 4 + 2 + 5 + 8 + 2 + 5), std::string("\0\0\0\2\0\5first\0\0\0\0\0\0\0\0\0\5X.509", 26));
  // The entry stays as it was, and the old seal is gone.
  EXPECT_EQ(two.substr(12, one.size() - 32), one.substr(12, one.size() - 32));
  EXPECT_EQ(two.size() - one.size(), one.size() - kEmptyJavaStore.size() + 1);  // the longer alias
  EXPECT_NE(one.substr(one.size() - 20), two.substr(two.size() - 20));
}

TEST(TrustFiles, WhatIsNoStoreOrNoCertificateIsRefused) {
  const std::string pem = make_certificate_authority("test CA").value().certificate_pem;
  for (const std::string& bad : {std::string(), kEmptyJavaStore.substr(0, 31), "PK" + kEmptyJavaStore.substr(2), std::string(kEmptyJavaStore).replace(7, 1, "\1")})
    EXPECT_FALSE(java_trust_store_with(bad, pem, "a")) << bad.size();
  EXPECT_FALSE(java_trust_store_with(kEmptyJavaStore, "-----BEGIN CERTIFICATE-----", "a"));
  EXPECT_FALSE(hashed_certificate_name(""));
  EXPECT_TRUE(hashed_certificate_name(pem).value().ends_with(".0"));
  EXPECT_EQ(hashed_certificate_name(pem).value().size(), 10U);
}

TEST(Tls, ClientsVerifyAgainstTheLocalAuthority) {
  SystemClock clock;
  auto loop = *Loop::create(clock);
  const CertificatePair ca = make_certificate_authority("test CA").value();
  const CertificatePair pair = issue_certificate(ca, {"*.skerry.localhost", "skerry.localhost"}, {"127.0.0.1"}).value();
  EXPECT_TRUE(certificate_covers(pair.certificate_pem, "a.skerry.localhost"));
  EXPECT_FALSE(certificate_covers(pair.certificate_pem, "a.b.skerry.localhost"));
  EXPECT_GT(seconds_until_expiry(pair.certificate_pem).value(), 390 * 86400);
  auto server = TlsContext::server(pair).value();
  auto trusting = TlsContext::client(ca.certificate_pem).value();
  auto other = TlsContext::client(make_certificate_authority("other").value().certificate_pem).value();
  EXPECT_FALSE(TlsContext::server({pair.certificate_pem, ca.key_pem}));
  const auto run = [&](TlsContext& client_context, const char* name) {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    std::string out;
    const ServerLimits limits;
    EchoHandler handler;
    const bool draining = false;
    Scope scope(*loop);
    scope.spawn(serve_tls(*loop, UniqueFd(fds[0]), *server, limits, handler, draining));
    scope.spawn(ask_over_tls(*loop, UniqueFd(fds[1]), client_context, name, out));
    EXPECT_TRUE(loop->run_until([&] { return scope.running() == 0; }, 5s));
    return out;
  };
  EXPECT_EQ(run(*trusting, "a.skerry.localhost"), "onetwo+");
  EXPECT_NE(run(*trusting, "a.example.org").find("verify failed"), std::string::npos);
  EXPECT_NE(run(*other, "a.skerry.localhost").find("verify failed"), std::string::npos);
}

// Pieces of many sizes, around a record's and around the buffers below it, in both directions at once.
Task<void> tls_peer(TlsStream& stream, bool is_server, std::string& got, uint64_t& failures) {
  auto shaken = is_server ? co_await stream.accept(kNoDeadline) : co_await stream.connect("a.skerry.localhost", kNoDeadline);
  if (!shaken) ++failures;
  for (const size_t size : {1, 16383, 16384, 16385, 5, 33000, 16719, 16720, 16721, 70000, 3}) {
    if (!co_await stream.write(std::string(size, 'x'), {}, stream.loop().now() + 5s)) ++failures;
    const size_t wanted = got.size() + size;
    while (got.size() < wanted) {
      char buffer[8192];
      auto n = co_await stream.read({buffer, std::min(sizeof buffer, wanted - got.size())}, stream.loop().now() + 5s);
      if (!n || *n == 0) {
        ++failures;
        co_return;
      }
      got.append(buffer, *n);
    }
  }
}

TEST(Tls, PiecesOfAllSizesArriveInBothDirections) {
  SystemClock clock;
  auto loop = *Loop::create(clock);
  const CertificatePair ca = make_certificate_authority("test CA").value();
  auto server = TlsContext::server(issue_certificate(ca, {"*.skerry.localhost"}, {}).value()).value();
  auto client = TlsContext::client(ca.certificate_pem).value();
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  TlsStream a(*loop, UniqueFd(fds[0]), *server), b(*loop, UniqueFd(fds[1]), *client);
  std::string at_server, at_client;
  uint64_t failures = 0;
  Scope scope(*loop);
  scope.spawn(tls_peer(a, true, at_server, failures));
  scope.spawn(tls_peer(b, false, at_client, failures));
  EXPECT_TRUE(loop->run_until([&] { return scope.running() == 0; }, 20s));
  EXPECT_EQ(failures, 0U);
  EXPECT_EQ(at_server, at_client);
  EXPECT_EQ(at_server.size(), 1 + 16383 + 16384 + 16385 + 5 + 33000 + 16719 + 16720 + 16721 + 70000 + 3U);
}

TEST(ErrorBody, IsAPageOnlyWhereOneIsPreferred) {
  const struct {
    const char* accept;
    bool html;
  } cases[] = {{"", false}, {"*/*", false}, {"application/json", false}, {"text/html", true}, {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
               {"text/html, application/json", true}, {"application/json, text/html", false}, {"application/json;q=0.5, text/html", true}, {"text/html;q=0.1, application/json", false},
               {"text/html; q=0.4, application/json; q=0.5", false}, {"text/html;q=0", false}, {"text/html;q=", false}, {";;;,,,q=", false}, {"text/plain", false}};
  for (const auto& c : cases) {
    const ErrorBody body = make_error_body(c.accept, 404, "no_such_function", "<script>a & b</script>", "id");
    EXPECT_EQ(body.content_type.starts_with("text/html"), c.html) << c.accept;
    EXPECT_EQ(body.body.find("<script>") == std::string::npos, c.html) << body.body;  // a page has nothing of the caller's as markup
  }
}

}  // namespace
}  // namespace skerry
