#include "net/http_client.h"

namespace skerry {
namespace {
constexpr size_t kBufferBytes = 32 * 1024;
constexpr int kMaxInterimAnswers = 8;
}  // namespace

Task<Result<const http::ResponseHead*>> HttpClientConnection::read_head(std::string_view method, TimePoint deadline) {
  if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(kBufferBytes);
  answer_started_ = false;
  std::string bytes(pending_);
  pending_ = {};
  size_t scanned = 0;
  for (int interim = 0;;) {
    const size_t end = http::find_head_end(bytes, scanned);
    if (end > http::kMaxHeadBytes || (end == 0 && bytes.size() > http::kMaxHeadBytes))
      co_return fail(ErrorCode::kProtocol, "the answer's head is larger than {} bytes", http::kMaxHeadBytes);
    if (end > 0) {
      head_bytes_ = bytes.substr(0, end);
      auto head = http::parse_response(head_bytes_, method);
      if (!head) co_return fail(ErrorCode::kProtocol, "{}", head.error().reason);
      bytes.erase(0, end);
      scanned = 0;
      if (head->status < 200 && head->status != 101) {
        if (++interim > kMaxInterimAnswers) co_return fail(ErrorCode::kProtocol, "too many interim answers");
        continue;
      }
      head_ = std::move(*head);
      decoder_ = http::BodyDecoder(head_.framing, head_.content_length);
      // What follows the head moves to the buffer, where pending_ points.
      if (bytes.size() > kBufferBytes) co_return fail(ErrorCode::kInternal, "more bytes after a head than one read gives");
      bytes.copy(buffer_.get(), bytes.size());
      pending_ = {buffer_.get(), bytes.size()};
      co_return &head_;
    }
    CO_TRY_ASSIGN(const size_t n, co_await stream_->read({buffer_.get(), kBufferBytes}, deadline));
    if (n == 0) {
      if (bytes.empty()) co_return fail(ErrorCode::kUnavailable, "the connection was closed before an answer");
      co_return fail(ErrorCode::kProtocol, "the connection was closed inside the answer's head");
    }
    answer_started_ = true;
    bytes.append(buffer_.get(), n);
  }
}

Result<std::string_view> HttpClientConnection::decode_available() {
  std::string_view piece;
  switch (decoder_.next(pending_, piece)) {
    case http::BodyDecoder::Status::kPiece: return piece;
    case http::BodyDecoder::Status::kMalformed: return fail(ErrorCode::kProtocol, "malformed chunked body");
    default: return std::string_view();
  }
}

Result<std::string_view> HttpClientConnection::buffered_body() { return decode_available(); }

Task<Result<std::string_view>> HttpClientConnection::read_body(TimePoint deadline) {
  for (;;) {
    CO_TRY_ASSIGN(const std::string_view piece, decode_available());
    if (!piece.empty() || decoder_.done()) co_return piece;
    CO_TRY_ASSIGN(const size_t n, co_await stream_->read({buffer_.get(), kBufferBytes}, deadline));
    if (n == 0) {
      if (decoder_.end_of_input()) co_return std::string_view();
      co_return fail(ErrorCode::kProtocol, "the answer's body was cut short");
    }
    pending_ = {buffer_.get(), n};
  }
}

std::string HttpClientConnection::take_pending() {
  std::string rest(pending_);
  pending_ = {};
  return rest;
}

}  // namespace skerry
