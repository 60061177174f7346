#include "net/http_server.h"

#include <algorithm>
#include <cstdlib>

#include "base/id.h"
#include "base/log.h"

namespace skerry {
namespace {

constexpr size_t kReadBytes = 16 * 1024;
constexpr size_t kBodyReadBytes = 64 * 1024;

bool bodiless_status(int status) { return status < 200 || status == 204 || status == 304; }

std::string_view code_of(int status) {
  switch (status) {
    case 408: return "request_timeout";
    case 413: return "body_too_large";
    case 414: return "uri_too_long";
    case 431: return "headers_too_large";
    case 501: return "not_implemented";
    default: return "bad_request";
  }
}

// RFC 9110 section 12.5.1. Of two types of the same quality the first counts: what names neither wants JSON.
bool prefers_html(std::string_view accept) {
  double html = 0, json = 0;
  bool html_first = false;
  while (!accept.empty()) {
    std::string_view range = accept.substr(0, accept.find(','));
    accept.remove_prefix(std::min(range.size() + 1, accept.size()));
    double quality = 1;
    if (const size_t q = range.find("q=", range.find(';')); q != std::string_view::npos) quality = std::atof(std::string(range.substr(q + 2, 5)).c_str());
    range = range.substr(0, range.find(';'));
    if (range.find("text/html") != std::string_view::npos) html = quality, html_first = json == 0;
    else if (range.find("json") != std::string_view::npos) json = quality;
  }
  return html > json || (html > 0 && html == json && html_first);
}

}  // namespace

ErrorBody make_error_body(std::string_view accept, int status, std::string_view code, std::string_view message, std::string_view request_id) {
  if (prefers_html(accept)) {
    const auto escape = [](std::string_view text) {
      std::string out;
      for (const char c : text) {
        if (c == '<') out += "&lt;";
        else if (c == '>') out += "&gt;";
        else if (c == '&') out += "&amp;";
        else out += c;
      }
      return out;
    };
    return {"text/html; charset=utf-8", fmt::format("<!doctype html><title>{0} {1}</title><h1>{0} {1}</h1><p>{2} ({3})</p><p>request {4}</p>\n", status,
                                                    http::reason_phrase(status), escape(message), escape(code), escape(request_id))};
  }
  std::string body = R"({"error":{"code":")";
  append_json_escaped(body, code);
  body += R"(","message":")";
  append_json_escaped(body, message);
  body += R"(","request_id":")";
  append_json_escaped(body, request_id);
  body += "\"}}\n";
  return {"application/json", std::move(body)};
}

// ---- Exchange: the request

Exchange::Exchange(Stream& stream, const ServerLimits& limits, std::string& input) : stream_(stream), limits_(limits), input_(input) {}

void Exchange::start(http::RequestHead head, TimePoint now) {
  head_ = std::move(head);
  started_ = now;
  decoder_ = http::BodyDecoder(head_.framing, head_.content_length);
  pending_ = std::string_view(input_).substr(head_.bytes);
  continue_due_ = head_.expect_continue && !decoder_.done() && pending_.empty();
  keep_alive_ = head_.keep_alive;
}

Result<std::string_view> Exchange::decode_available() {
  std::string_view piece;
  switch (decoder_.next(pending_, piece)) {
    case http::BodyDecoder::Status::kPiece:
      body_bytes_ += piece.size();
      if (body_bytes_ > limits_.max_body_bytes) return fail(ErrorCode::kTooLarge, "the request body is larger than {} bytes", limits_.max_body_bytes);
      return piece;
    case http::BodyDecoder::Status::kMalformed: return fail(ErrorCode::kProtocol, "malformed chunked body");
    default: return std::string_view();
  }
}

Result<std::string_view> Exchange::buffered_body() { return decode_available(); }

Task<Result<std::string_view>> Exchange::read_body() {
  if (head_.framing == http::Framing::kLength && head_.content_length > limits_.max_body_bytes)
    co_return fail(ErrorCode::kTooLarge, "the request body is larger than {} bytes", limits_.max_body_bytes);
  for (;;) {
    CO_TRY_ASSIGN(const std::string_view piece, decode_available());
    if (!piece.empty() || decoder_.done()) co_return piece;
    if (std::exchange(continue_due_, false))
      CO_TRY(co_await stream_.write("HTTP/1.1 100 Continue\r\n\r\n", {}, write_deadline()));
    if (!body_buffer_) body_buffer_ = std::make_unique_for_overwrite<char[]>(kBodyReadBytes);
    CO_TRY_ASSIGN(const size_t n, co_await stream_.read({body_buffer_.get(), kBodyReadBytes}, stream_.loop().now() + limits_.body_timeout));
    if (n == 0) co_return fail(ErrorCode::kUnavailable, "the client closed in the middle of its body");
    pending_ = {body_buffer_.get(), n};
  }
}

// ---- Exchange: the answer

void Exchange::begin(int status, std::string_view header_lines, BodyKind kind, uint64_t length) {
  begun_ = true;
  status_ = status;
  kind_ = kind;
  suppress_body_ = head_.method == "HEAD" || bodiless_status(status);
  // An HTTP/1.0 client knows no chunks: its body ends with the connection.
  const bool until_close = kind == BodyKind::kChunked && head_.minor == 0;
  if (until_close) keep_alive_ = false;
  out_.clear();
  fmt::format_to(std::back_inserter(out_), "HTTP/1.1 {} {}\r\n", status, http::reason_phrase(status));
  out_ += header_lines;
  if (status == 101) {
    kind_ = BodyKind::kNone;
  } else {
    if (kind == BodyKind::kLength && !(bodiless_status(status) && status != 304)) fmt::format_to(std::back_inserter(out_), "content-length: {}\r\n", length);
    if (kind == BodyKind::kChunked && !until_close && !bodiless_status(status)) out_ += "transfer-encoding: chunked\r\n";
    if (kind == BodyKind::kNone && !bodiless_status(status) && head_.method != "HEAD") out_ += "content-length: 0\r\n";
    if (!keep_alive_) out_ += "connection: close\r\n";
    else if (head_.minor == 0) out_ += "connection: keep-alive\r\n";
  }
  out_ += "\r\n";
  length_left_ = kind == BodyKind::kLength ? length : 0;
}

Task<Result<void>> Exchange::body(std::string_view piece) {
  if (piece.empty()) co_return Result<void>{};
  if (kind_ == BodyKind::kLength && piece.size() > length_left_ && !suppress_body_)
    co_return fail(ErrorCode::kProtocol, "more body than the announced length");
  if (suppress_body_) co_return co_await flush();
  sent_bytes_ += piece.size();
  const TimePoint deadline = write_deadline();
  if (kind_ == BodyKind::kChunked && head_.minor == 1) {
    http::append_chunk_size(out_, piece.size());
    frame_.assign(piece).append("\r\n");
    auto sent = co_await stream_.write(out_, frame_, deadline);
    out_.clear();
    co_return sent;
  }
  if (kind_ == BodyKind::kLength) length_left_ -= piece.size();
  auto sent = co_await stream_.write(out_, piece, deadline);
  out_.clear();
  co_return sent;
}

Task<Result<void>> Exchange::flush() {
  if (out_.empty()) co_return Result<void>{};
  auto sent = co_await stream_.write(out_, {}, write_deadline());
  out_.clear();
  co_return sent;
}

Task<Result<void>> Exchange::finish() {
  if (kind_ == BodyKind::kLength && length_left_ > 0 && !suppress_body_)
    co_return fail(ErrorCode::kProtocol, "less body than the announced length");
  if (kind_ == BodyKind::kChunked && !suppress_body_ && head_.minor == 1) out_ += "0\r\n\r\n";
  auto sent = co_await flush();
  finished_ = sent.has_value();
  co_return sent;
}

Task<Result<void>> Exchange::respond(int status, std::string_view content_type, std::string_view body_bytes, std::string_view header_lines) {
  std::string lines(header_lines);
  if (!content_type.empty()) fmt::format_to(std::back_inserter(lines), "content-type: {}\r\n", content_type);
  begin(status, lines, body_bytes.empty() ? BodyKind::kNone : BodyKind::kLength, body_bytes.size());
  CO_TRY(co_await body(body_bytes));
  co_return co_await finish();
}

Task<Result<void>> Exchange::respond_error(int status, std::string_view code, std::string_view message, std::string_view request_id,
                                           std::string_view header_lines) {
  const ErrorBody error = make_error_body(head_.find("accept"), status, code, message, request_id);
  co_return co_await respond(status, error.content_type, error.body, header_lines);
}

std::string Exchange::take_over() {
  taken_over_ = true;
  keep_alive_ = false;
  std::string rest(pending_);
  pending_ = {};
  return rest;
}

Task<bool> Exchange::settle() {
  if (!finished_ || !keep_alive_ || taken_over_) co_return false;
  size_t drained = 0;
  while (!decoder_.done()) {
    if (continue_due_) co_return false;  // the client may or may not send the body now: only closing is unambiguous
    auto piece = co_await read_body();
    if (!piece) co_return false;
    drained += piece->size();
    if (drained > limits_.max_drain_bytes) co_return false;
  }
  // What is left belongs to the next request; the head's views die here.
  std::string rest(pending_);
  input_ = std::move(rest);
  co_return true;
}

// ---- HttpConnection

Task<HttpConnection::HeadRead> HttpConnection::read_head(size_t& head_bytes) {
  size_t scanned = 0;
  TimePoint deadline = stream_->loop().now() + (input_.empty() ? limits_.idle_timeout : limits_.head_timeout);
  bool begun = !input_.empty();
  for (;;) {
    // RFC 9112 section 2.2: an empty line before a request is ignored, once, as old clients send one after a body.
    if (scanned == 0 && input_.starts_with("\r\n")) input_.erase(0, 2);
    head_bytes = http::find_head_end(input_, scanned);
    if (head_bytes > http::kMaxHeadBytes || (head_bytes == 0 && input_.size() > http::kMaxHeadBytes)) {
      co_await refuse({431, "the request head is larger than 64 KB"});
      co_return HeadRead::kClosed;
    }
    if (head_bytes > 0) co_return HeadRead::kOk;
    if (!read_buffer_) read_buffer_ = std::make_unique_for_overwrite<char[]>(kReadBytes);
    auto n = co_await stream_->read({read_buffer_.get(), kReadBytes}, deadline);
    if (!n || *n == 0) {
      if (begun && !n && n.error().code() == ErrorCode::kTimeout) co_await refuse({408, "the request head did not arrive in time"});
      co_return HeadRead::kClosed;
    }
    input_.append(read_buffer_.get(), *n);
    if (!begun) {
      begun = true;
      deadline = stream_->loop().now() + limits_.head_timeout;
    }
  }
}

Task<void> HttpConnection::refuse(http::HeadError error) {
  const std::string id = new_ulid();  // what came is not trusted to hold one
  const ErrorBody body = make_error_body({}, error.status, code_of(error.status), error.reason, id);
  const std::string head = fmt::format("HTTP/1.1 {} {}\r\nx-request-id: {}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", error.status,
                                       http::reason_phrase(error.status), id, body.content_type, body.body.size());
  const TimePoint deadline = stream_->loop().now() + limits_.write_timeout;
  if (co_await stream_->write(head, body.body, deadline)) {
    // Closing at once would reset the connection under the answer while the client still sends.
    (void)co_await stream_->shutdown_write(deadline);
    if (!read_buffer_) read_buffer_ = std::make_unique_for_overwrite<char[]>(kReadBytes);
    const TimePoint linger = stream_->loop().now() + std::chrono::seconds(1);
    for (size_t drained = 0; drained < limits_.max_drain_bytes;) {
      auto n = co_await stream_->read({read_buffer_.get(), kReadBytes}, linger);
      if (!n || *n == 0) break;
      drained += *n;
    }
  }
}

Task<void> HttpConnection::serve(const bool& draining) {
  for (;;) {
    size_t head_bytes = 0;
    if (co_await read_head(head_bytes) == HeadRead::kClosed) co_return;
    auto head = http::parse_request(std::string_view(input_).substr(0, head_bytes));
    if (!head) {
      co_await refuse(head.error());
      co_return;
    }
    Exchange exchange(*stream_, limits_, input_);
    exchange.start(std::move(*head), stream_->loop().now());
    if (draining) exchange.close_after();
    co_await handler_.handle(exchange);
    stream_->on_hangup({});
    if (!exchange.begun()) (void)co_await exchange.respond_error(500, "internal", "the request was not answered", {});
    const bool another = co_await exchange.settle();
    if (!another) {
      if (exchange.finished() && !exchange.body_done()) {
        // The client still sends: let it see the answer before the reset.
        (void)co_await stream_->shutdown_write(stream_->loop().now() + limits_.write_timeout);
        auto buffer = std::make_unique_for_overwrite<char[]>(kReadBytes);
        const TimePoint linger = stream_->loop().now() + std::chrono::seconds(1);
        for (;;) {
          auto n = co_await stream_->read({buffer.get(), kReadBytes}, linger);
          if (!n || *n == 0) break;
        }
      }
      co_return;
    }
  }
}

}  // namespace skerry
