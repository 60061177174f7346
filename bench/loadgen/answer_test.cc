#include "answer.h"

#include <gtest/gtest.h>

namespace loadgen {
namespace {

using State = AnswerReader::State;

// Fed byte by byte, so that every boundary is met; kMore until the last byte.
State feed_bytes(AnswerReader& reader, std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i)
    if (const State state = reader.feed(text.substr(i, 1)); state != State::kMore) return i + 1 == text.size() ? state : State::kBad;
  return State::kMore;
}

TEST(AnswerReader, EndsWithItsLength) {
  AnswerReader r;
  EXPECT_EQ(feed_bytes(r, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), State::kDone);
  EXPECT_EQ(r.status(), 200);
  r.reset();
  EXPECT_EQ(r.feed("HTTP/1.1 503 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), State::kDone);
  EXPECT_EQ(r.status(), 503);
  EXPECT_TRUE(r.closes());
}

TEST(AnswerReader, EndsWithTheLastChunk) {
  AnswerReader r;
  EXPECT_EQ(feed_bytes(r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nt: 1\r\n\r\n"), State::kDone);
}

TEST(AnswerReader, RefusesWhatKeepAliveCannotFollow) {
  AnswerReader r;
  EXPECT_EQ(r.feed("HTTP/1.1 200 OK\r\n\r\n"), State::kBad);
  r.reset();
  EXPECT_EQ(r.feed("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab"), State::kBad);
  r.reset();
  EXPECT_EQ(r.feed("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"), State::kBad);
  r.reset();
  EXPECT_EQ(r.feed("SSH-2.0-x\r\n\r\n"), State::kBad);
}

TEST(AnswerReader, AcceptsAnswersWithoutABody) {
  AnswerReader r;
  EXPECT_EQ(feed_bytes(r, "HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n"), State::kDone);
}

}  // namespace
}  // namespace loadgen
