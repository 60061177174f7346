#include <gtest/gtest.h>

#include "http/body.h"
#include "http/head.h"

namespace skerry::http {
namespace {

int status_of(const std::string& head) {
  auto parsed = parse_request(head);
  return parsed ? 200 : parsed.error().status;
}
const std::string kHost = "Host: a.b\r\n";

TEST(RequestHead, ReadsWhatWasSent) {
  const std::string text = "POST /a%20b?x=1 HTTP/1.1\r\nHost: A.b:8443\r\nContent-Length: 5\r\nX-A: 1\r\nx-a:  2 \r\nConnection: close\r\n\r\n";
  const auto head = parse_request(text);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->method, "POST");
  EXPECT_EQ(head->target, "/a%20b?x=1");
  EXPECT_EQ(host_of(head->authority), "a.b");
  EXPECT_EQ(head->framing, Framing::kLength);
  EXPECT_EQ(head->content_length, 5U);
  EXPECT_FALSE(head->keep_alive);
  EXPECT_EQ(head->find("x-a"), "1");
  EXPECT_EQ(head->headers.size(), 5U);
  EXPECT_EQ(head->headers[3].value, "2");
  EXPECT_EQ(head->bytes, text.size());
}

struct Case {
  const char* head;
  int status;
};
class Strict : public ::testing::TestWithParam<Case> {};
TEST_P(Strict, AnswersAsTheTableSays) { EXPECT_EQ(status_of(GetParam().head), GetParam().status) << GetParam().head; }
INSTANTIATE_TEST_SUITE_P(
    RequestHead, Strict,
    ::testing::Values(
        Case{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200}, Case{"GET / HTTP/1.0\r\n\r\n", 200},
        Case{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200}, Case{"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Case{"GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 200}, Case{"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Case{"GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400}, Case{"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501},
        Case{"GET / HTTP/1.1\r\n\r\n", 400}, Case{"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400}, Case{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", 400}, Case{"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
        Case{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505}, Case{"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400},
        Case{"GET / http/1.1\r\nHost: a\r\n\r\n", 400}, Case{"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Case{"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400}, Case{"GET /\r\nHost: a\r\n\r\n", 400},
        Case{"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400}, Case{"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Case{"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400}, Case{"GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400}, Case{"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n", 400}, Case{"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400}, Case{"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01z\r\n\r\n", 400}, Case{"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400}, Case{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5,5\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", 400}, Case{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 200},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", 200},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0b" "chunked\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        Case{"GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        Case{"GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417}));

TEST(RequestHead, HasNamedLimits) {
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (size_t i = 1; i < kMaxHeaders; ++i) many += "X: y\r\n";
  EXPECT_EQ(status_of(many + "\r\n"), 200);
  EXPECT_EQ(status_of(many + "X: y\r\n\r\n"), 431);
  const auto with_target = [](size_t n) { return "GET /" + std::string(n - 1, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n"; };
  EXPECT_EQ(status_of(with_target(kMaxTargetBytes)), 200);
  EXPECT_EQ(status_of(with_target(kMaxTargetBytes + 1)), 414);
}

TEST(HeadEnd, IsFoundAcrossReads) {
  const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
  size_t scanned = 0;
  for (size_t n = 0; n + 4 < text.size(); ++n) EXPECT_EQ(find_head_end(std::string_view(text).substr(0, n), scanned), 0U);
  EXPECT_EQ(find_head_end(text, scanned), text.size() - 4);
}

TEST(ResponseHead, FramingFollowsStatusAndMethod) {
  const auto framing = [](const std::string& text, const char* method) { return parse_response(text, method)->framing; };
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET"), Framing::kLength);
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD"), Framing::kNone);
  EXPECT_EQ(framing("HTTP/1.1 204 No\r\n\r\n", "GET"), Framing::kNone);
  EXPECT_EQ(framing("HTTP/1.1 200\r\n\r\n", "GET"), Framing::kUntilClose);
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "GET"), Framing::kChunked);
  EXPECT_FALSE(parse_response("HTTP/1.1 20 OK\r\n\r\n", "GET"));
  EXPECT_FALSE(parse_response("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "GET"));
}

TEST(HopByHop, KnowsTheFixedOnesAndThoseThatConnectionNames) {
  EXPECT_TRUE(is_hop_by_hop("TE", ""));
  EXPECT_TRUE(is_hop_by_hop("X-Own", "close, x-own"));
  EXPECT_FALSE(is_hop_by_hop("X-Own", "close, x-ow"));
}

// Decodes `text` in pieces of `step` bytes; "!" marks malformed, "?" unfinished.
std::string decode(std::string_view text, size_t step, Framing framing = Framing::kChunked, uint64_t length = 0) {
  BodyDecoder decoder(framing, length);
  std::string out;
  for (size_t at = 0; at < text.size(); at += step) {
    std::string_view input = text.substr(at, step), piece;
    for (;;) {
      const auto status = decoder.next(input, piece);
      if (status == BodyDecoder::Status::kPiece) out += piece;
      else if (status == BodyDecoder::Status::kMalformed) return out + "!";
      else break;
    }
    if (decoder.done()) return out;
  }
  return decoder.end_of_input() ? out : out + "?";
}

TEST(Chunked, GivesTheBodyHoweverItIsCut) {
  const std::string text = "5\r\nhello\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nNEXT";
  for (size_t step = 1; step < text.size(); ++step) EXPECT_EQ(decode(text, step), "hello0123456789") << step;
}

TEST(Chunked, RefusesWhatIsMalformed) {
  for (const char* text : {"\r\n", "x\r\n", "5 \r\nhello\r\n", "-1\r\n", "5\nhello\r\n", "5\r\nhelloX\n", "5\r\nhello\n0\r\n\r\n",
                           "0000000000000001\r\na\r\n", "0\r\nbad trailer\r\n\r\n", "0\r\nX: y\n\r\n", "1;a\nb\r\na\r\n", "ffffffffffffffffff\r\n"}) {
    EXPECT_NE(decode(text, 1).find('!'), std::string::npos) << text;
  }
  EXPECT_EQ(decode("5\r\nhel", 3), "hel?");
  EXPECT_EQ(decode("1;" + std::string(kMaxChunkExtensionBytes, 'x') + "\r\na\r\n0\r\n\r\n", 7), "a");
  EXPECT_EQ(decode("1;" + std::string(kMaxChunkExtensionBytes + 1, 'x') + "\r\na\r\n0\r\n\r\n", 7), "!");
}

TEST(Body, FixedLengthStopsExactly) {
  EXPECT_EQ(decode("abcdef", 4, Framing::kLength, 5), "abcde");
  EXPECT_EQ(decode("abc", 4, Framing::kLength, 5), "abc?");
  EXPECT_EQ(decode("abc", 4, Framing::kUntilClose), "abc");
}

}  // namespace
}  // namespace skerry::http
