// One HTTP/1.1 server connection: reads requests strictly, hands each to a handler as an Exchange, frames the answers.
//
// Used by ingress (proxying) and by the gateway (API). Thread: its loop's. Deadlines and sizes come from ServerLimits; what a client sends
// wrong is answered here and never reaches the handler.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/body.h"
#include "http/head.h"
#include "net/stream.h"

namespace skerry {

struct ServerLimits {
  Duration head_timeout = std::chrono::seconds(10);   // from the first byte of a head to its end
  Duration idle_timeout = std::chrono::seconds(60);   // keep-alive
  Duration body_timeout = std::chrono::seconds(30);   // without a byte of the request body
  Duration write_timeout = std::chrono::seconds(30);  // without the client taking a byte
  uint64_t max_body_bytes = 10ULL << 20;
  size_t max_drain_bytes = 64 * 1024;                 // of a body that the handler left unread
};

enum class BodyKind : uint8_t { kNone, kLength, kChunked };

class Exchange {
 public:
  Exchange(Stream& stream, const ServerLimits& limits, std::string& input);

  [[nodiscard]] const http::RequestHead& head() const { return head_; }
  [[nodiscard]] Stream& stream() { return stream_; }
  [[nodiscard]] TimePoint started() const { return started_; }

  // The next piece of the request body (a view that lives until the next call), empty at its end. kTooLarge over max_body_bytes,
  // kProtocol when malformed, kUnavailable when the client closed early. Sends 100 Continue when it is waited for.
  Task<Result<std::string_view>> read_body();
  // What of the body can be had without waiting; empty when nothing is there or the body has ended.
  Result<std::string_view> buffered_body();
  [[nodiscard]] bool body_done() const { return decoder_.done(); }
  [[nodiscard]] uint64_t body_bytes() const { return body_bytes_; }

  // Starts the answer. `header_lines` is complete lines "name: value\r\n" without framing and connection headers, which are added here.
  // For HEAD, 1xx, 204 and 304 nothing of the body is sent. Nothing goes out before body(), flush() or finish().
  void begin(int status, std::string_view header_lines, BodyKind kind, uint64_t length = 0);
  // Sends a piece, together with the head when that has not gone out.
  Task<Result<void>> body(std::string_view piece);
  Task<Result<void>> flush();
  // Ends the answer and sends what is left.
  Task<Result<void>> finish();
  // A whole small answer.
  Task<Result<void>> respond(int status, std::string_view content_type, std::string_view body, std::string_view header_lines = {});
  // A JSON error (or a short page for a browser) as CONTRACT section 7 says.
  Task<Result<void>> respond_error(int status, std::string_view code, std::string_view message, std::string_view request_id,
                                   std::string_view header_lines = {});
  // After a 101: gives the raw stream away; bytes already read are returned. The connection ends when the handler returns.
  std::string take_over();

  [[nodiscard]] bool begun() const { return begun_; }
  [[nodiscard]] bool finished() const { return finished_; }
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] uint64_t sent_bytes() const { return sent_bytes_; }
  // The connection will be closed after this exchange.
  void close_after() { keep_alive_ = false; }

 private:
  friend class HttpConnection;
  void start(http::RequestHead head, TimePoint now);
  // Whether another request may follow on the connection; drains a little of an unread body.
  Task<bool> settle();
  Result<std::string_view> decode_available();
  [[nodiscard]] TimePoint write_deadline() const { return stream_.loop().now() + limits_.write_timeout; }

  Stream& stream_;
  const ServerLimits& limits_;
  std::string& input_;           // the connection's buffer; the head lies at its front
  http::RequestHead head_;
  http::BodyDecoder decoder_;
  std::string_view pending_;     // bytes received and not decoded, in input_ or body_buffer_
  std::unique_ptr<char[]> body_buffer_;
  std::string out_;              // the answer's head, until it is sent
  std::string frame_;
  uint64_t body_bytes_ = 0;
  uint64_t sent_bytes_ = 0;
  uint64_t length_left_ = 0;
  TimePoint started_{};
  int status_ = 0;
  BodyKind kind_ = BodyKind::kNone;
  bool continue_due_ = false;
  bool suppress_body_ = false;
  bool begun_ = false;
  bool finished_ = false;
  bool keep_alive_ = true;
  bool taken_over_ = false;
};

class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  virtual Task<void> handle(Exchange& exchange) = 0;
};

class HttpConnection {
 public:
  HttpConnection(std::unique_ptr<Stream> stream, const ServerLimits& limits, RequestHandler& handler)
      : stream_(std::move(stream)), limits_(limits), handler_(handler) {}
  // Serves requests until either side closes. `draining` is asked between requests.
  Task<void> serve(const bool& draining);

 private:
  enum class HeadRead : uint8_t { kOk, kClosed };
  Task<HeadRead> read_head(size_t& head_bytes);
  Task<void> refuse(http::HeadError error);

  std::unique_ptr<Stream> stream_;
  const ServerLimits& limits_;
  RequestHandler& handler_;
  std::string input_;
  std::unique_ptr<char[]> read_buffer_;
};

struct ErrorBody {
  std::string_view content_type;
  std::string body;
};
// {"error":{"code","message","request_id"}}, or a short HTML page where `accept` prefers text/html.
[[nodiscard]] ErrorBody make_error_body(std::string_view accept, int status, std::string_view code, std::string_view message,
                                        std::string_view request_id);

}  // namespace skerry
