// One HTTP/1.1 client connection, for the platform's side of an exchange with an instance (and for tests).
//
// The caller writes the request as bytes; the answer is parsed strictly. Views returned by read_head() and read_body() live until the next call
// that reads. Thread: its loop's.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "http/body.h"
#include "http/head.h"
#include "net/stream.h"

namespace skerry {

class HttpClientConnection {
 public:
  explicit HttpClientConnection(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {}

  [[nodiscard]] Stream& stream() { return *stream_; }
  Task<Result<void>> write(std::string_view first, std::string_view second, TimePoint deadline) { return stream_->write(first, second, deadline); }
  // The final head (or 101); interim 1xx answers are dropped. kUnavailable when the peer closed before a byte came, kProtocol when it
  // broke HTTP. `method` is the request's.
  Task<Result<const http::ResponseHead*>> read_head(std::string_view method, TimePoint deadline);
  // Whether any byte of the current answer has arrived.
  [[nodiscard]] bool answer_started() const { return answer_started_; }
  // The next piece of the body, empty at its end. kProtocol when it is cut short.
  Task<Result<std::string_view>> read_body(TimePoint deadline);
  // What has arrived already, without waiting; empty when nothing has.
  Result<std::string_view> buffered_body();
  [[nodiscard]] bool body_done() const { return decoder_.done(); }
  // After the body ended: whether another request may use this connection.
  [[nodiscard]] bool reusable() const { return decoder_.done() && head_.keep_alive && pending_.empty() && !stream_->hung_up(); }
  // Bytes after a 101, already read.
  std::string take_pending();

 private:
  Result<std::string_view> decode_available();

  std::unique_ptr<Stream> stream_;
  std::unique_ptr<char[]> buffer_;
  http::ResponseHead head_;
  std::string head_bytes_;
  http::BodyDecoder decoder_;
  std::string_view pending_;
  bool answer_started_ = false;
};

}  // namespace skerry
