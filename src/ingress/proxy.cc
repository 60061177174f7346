#include "ingress/proxy.h"

#include <algorithm>

namespace skerry {
namespace {

constexpr int kMaxAttempts = 3;
constexpr auto kDeathWait = std::chrono::milliseconds(500);
constexpr std::string_view kRetryAfter = "retry-after: 1\r\n";

std::string chunk_of(std::string_view piece) {
  std::string out;
  http::append_chunk_size(out, piece.size());
  out.append(piece).append("\r\n");
  return out;
}

}  // namespace

struct Proxy::Request {
  Request(Exchange& x, Loop& loop) : exchange(x), uploading(loop) {}

  Exchange& exchange;
  std::shared_ptr<const RouteTarget> target;
  std::string id;
  std::string peer;
  std::string_view scheme;
  int hops = 0;
  int64_t start_wall_ms = 0;
  TimePoint head_deadline{};  // CONTRACT: from the request's head to the first byte of the answer's head
  CancelToken cancel;

  Lease lease;
  bool leased = false;
  std::unique_ptr<HttpClientConnection> connection;
  bool sent_anything = false;
  TimePoint sent_at{};
  uint64_t cpu_before_us = 0;
  std::unique_ptr<Error> upload_error;
  std::string_view error_code;
  uint64_t relayed_bytes = 0;  // of the answer's body, the piece in hand included
  uint64_t record = 0;
  bool measured = false;
  Scope uploading;  // last: its task uses all of the above
};

Proxy::Proxy(Loop& loop, AccessLog& access_log, const ProxySettings& settings, Instances& instances, Meter& meter)
    : loop_(loop), access_log_(access_log), settings_(settings), instances_(instances), meter_(meter), settling_(loop) {}

Task<void> Proxy::handle(Exchange& exchange, const Peer& peer) {
  Request r(exchange, loop_);
  r.peer = peer.address;
  r.scheme = peer.scheme;
  r.id = request_id_of(exchange.head(), random_);
  // SECURITY: a function can drop or forge the header, so it can only make the count larger; nobody outside stands in a chain.
  if (peer.container != 0) r.hops = std::max(hops_of(exchange.head()), depths_.hops_from(peer.container));
  r.start_wall_ms = loop_.clock().wall_ms();
  exchange.stream().on_hangup([&r] {
    r.cancel.cancel();
    if (r.connection) r.connection->stream().interrupt_read();
  });
  if (exchange.stream().hung_up()) r.cancel.cancel();
  co_await serve(r);
  exchange.stream().on_hangup({});
  if (r.record != 0 && exchange.finished()) meter_.mark_sent(r.record);
  log_request(r);
}

Task<void> Proxy::serve(Request& r) {
  const std::string host = http::host_of(r.exchange.head().authority);
  r.target = routes_->find(host, pick_++);
  if (!r.target) {
    if (r.scheme == "https" && covers_ && !covers_(host)) {
      co_await fail_with(r, 421, "misdirected", "this connection's certificate does not cover the host");
    } else {
      co_await fail_with(r, 404, "no_such_function", "no function answers at this host; `skerry ls` lists the URLs");
    }
    co_return;
  }
  if (r.hops > kMaxHops) {
    co_await fail_with(r, 508, "loop_detected", "more than 8 calls between functions in a row");
    co_return;
  }
  if (r.exchange.head().framing == http::Framing::kLength && r.exchange.head().content_length > limits::kRequestBodyBytes) {
    r.exchange.close_after();
    co_await fail_with(r, 413, "body_too_large", "the request body is larger than 10 MB");
    co_return;
  }
  r.head_deadline = r.exchange.started() + std::chrono::milliseconds(r.target->revision.timeout_ms);
  for (int n = 0; n < kMaxAttempts; ++n)
    if (co_await attempt(r) == Outcome::kDone) co_return;
  co_await fail_with(r, 503, "overloaded", "instances ended before they took the request", kRetryAfter);
}

Task<Proxy::Outcome> Proxy::attempt(Request& r) {
  auto lease = co_await instances_.lease(r.target->revision.id, r.head_deadline, r.cancel);
  if (!lease) {
    co_await refuse_lease(r, lease.error());
    co_return Outcome::kDone;
  }
  r.lease = std::move(*lease);
  r.leased = true;
  depths_.enter(r.lease.instance, r.hops);
  if (r.cancel.cancelled()) {
    give_back(r, LeaseEnd::kReusable);
    co_return Outcome::kDone;
  }
  auto connection = co_await instances_.connect(r.lease.instance, r.head_deadline);
  if (!connection) {
    give_back(r, LeaseEnd::kBroken);
    co_return Outcome::kRetry;
  }
  r.connection = std::move(*connection);
  instances_.set_request(r.lease.instance, r.id);
  r.cpu_before_us = instances_.cpu_us(r.lease.instance);
  r.sent_at = loop_.now();
  const uint64_t before = r.connection->stream().bytes_written();
  if (auto sent = co_await send_request(r); !sent) {
    const bool unseen = r.connection->stream().bytes_written() == before && r.exchange.body_bytes() == 0;
    if (unseen && !r.upload_error && !r.cancel.cancelled()) {
      r.connection.reset();
      give_back(r, LeaseEnd::kBroken);
      co_return Outcome::kRetry;
    }
    co_await answer_failure(r, std::move(sent).error());
    co_return Outcome::kDone;
  }
  auto head = co_await r.connection->read_head(r.exchange.head().method, r.head_deadline);
  if (!head) {
    co_await answer_failure(r, std::move(head).error());
    co_return Outcome::kDone;
  }
  if ((*head)->status == 101) co_await relay_upgrade(r, **head);
  else co_await relay_answer(r, **head);
  co_return Outcome::kDone;
}

// Head and what has arrived of the body leave in one write; the rest follows beside the answer.
Task<Result<void>> Proxy::send_request(Request& r) {
  const std::string head = upstream_head(r.exchange.head(), {r.peer, r.scheme, r.id, r.hops}, random_);
  const bool chunked = r.exchange.head().framing == http::Framing::kChunked;
  std::string_view first;
  if (!r.exchange.body_done()) {
    auto piece = r.exchange.buffered_body();
    if (!piece) {
      // SECURITY: the caller's mistake; taken for the instance's, each such request would have killed kMaxAttempts of them.
      r.upload_error = std::make_unique<Error>(piece.error());
      co_return std::unexpected(std::move(piece).error());
    }
    first = *piece;
  }
  std::string framed;
  if (chunked) {
    if (!first.empty()) framed = chunk_of(first);
    if (r.exchange.body_done()) framed += "0\r\n\r\n";
    first = framed;
  }
  CO_TRY(co_await r.connection->write(head, first, r.head_deadline));
  if (!r.exchange.body_done()) r.uploading.spawn(upload(r));
  co_return Result<void>{};
}

Task<void> Proxy::upload(Request& r) {
  const bool chunked = r.exchange.head().framing == http::Framing::kChunked;
  for (;;) {
    auto piece = co_await r.exchange.read_body();
    if (!piece) {
      // The one who waits for the answer hears of it.
      r.upload_error = std::make_unique<Error>(std::move(piece).error());
      r.connection->stream().interrupt_read();
      co_return;
    }
    const TimePoint deadline = loop_.now() + settings_.stream_idle;
    Result<void> sent{};
    if (chunked) {
      std::string framed = piece->empty() ? std::string("0\r\n\r\n") : chunk_of(*piece);
      if (!piece->empty() && r.exchange.body_done()) framed += "0\r\n\r\n";
      sent = co_await r.connection->write(framed, {}, deadline);
    } else {
      sent = co_await r.connection->write(*piece, {}, deadline);
    }
    // A function may answer without reading its body: its answer counts, not this error.
    if (!sent || piece->empty() || r.exchange.body_done()) co_return;
  }
}

Task<void> Proxy::relay_answer(Request& r, const http::ResponseHead& head) {
  const Timing timing{r.lease.mode, r.lease.queued, r.lease.start, loop_.now() - r.sent_at, r.lease.phases};
  if (head.framing == http::Framing::kLength && head.content_length > limits::kResponseBodyBytes) {
    co_await answer_failure(r, Error(ErrorCode::kTooLarge, "the function's answer is larger than 10 MB; stream it instead"));
    co_return;
  }
  std::string lines = downstream_headers(head);
  lines += platform_headers(r.id, settings_.location, &timing);
  if (!head.find("x-skerry-error").empty()) r.error_code = "function_error";
  const bool head_request = r.exchange.head().method == "HEAD";
  const bool has_length = !head.find("content-length").empty();
  const BodyKind kind = head.framing == http::Framing::kLength || (head_request && has_length) ? BodyKind::kLength
                        : head.framing == http::Framing::kNone                                 ? BodyKind::kNone
                                                                                               : BodyKind::kChunked;
  r.exchange.begin(head.status, lines, kind, head.content_length);
  const TimePoint stream_end = loop_.now() + settings_.stream_max;
  Result<void> sent{};
  while (sent && !r.connection->body_done()) {
    auto piece = r.connection->buffered_body();
    if (piece && piece->empty() && !r.connection->body_done()) {
      // Nothing more has come: what the caller can have already goes out before the wait.
      sent = co_await r.exchange.flush();
      if (!sent) break;
      piece = co_await r.connection->read_body(std::min(stream_end, loop_.now() + settings_.stream_idle));
    }
    if (!piece) {
      // Too late for another status: the caller sees an answer cut short.
      r.error_code = "answer_cut_short";
      sent = std::unexpected(std::move(piece).error());
      break;
    }
    r.relayed_bytes += piece->size();
    if (r.relayed_bytes > limits::kStreamedAnswerBytes) {
      r.error_code = "answer_too_large";
      sent = fail(ErrorCode::kTooLarge, "streamed answer over 1 GB");
      break;
    }
    if (r.connection->body_done()) measure(r);
    sent = co_await r.exchange.body(*piece);
  }
  if (sent) {
    measure(r);
    sent = co_await r.exchange.finish();
  }
  r.exchange.stream().on_hangup({});
  if (!sent) {
    r.exchange.close_after();
    measure(r);
  }
  if (!r.connection->body_done() || !r.exchange.body_done()) co_return detach(r);
  instances_.set_request(r.lease.instance, {});
  if (r.connection->reusable()) instances_.keep(r.lease.instance, std::move(r.connection));
  r.connection.reset();
  give_back(r, LeaseEnd::kReusable);
}

namespace {

// Copies until either side ends; used in both directions of an upgraded connection.
Task<void> pump(Stream& from, Stream& to, Duration idle, uint64_t& bytes, Event& ended) {
  auto buffer = std::make_unique_for_overwrite<char[]>(16 * 1024);
  for (;;) {
    auto n = co_await from.read({buffer.get(), 16 * 1024}, from.loop().now() + idle);
    if (!n || *n == 0) break;
    bytes += *n;
    if (!co_await to.write({buffer.get(), *n}, {}, from.loop().now() + idle)) break;
  }
  ended.set();
}

}  // namespace

Task<void> Proxy::relay_upgrade(Request& r, const http::ResponseHead& head) {
  std::string lines = downstream_headers(head);
  lines += platform_headers(r.id, settings_.location, nullptr);
  fmt::format_to(std::back_inserter(lines), "connection: upgrade\r\nupgrade: {}\r\n", head.find("upgrade"));
  r.exchange.begin(101, lines, BodyKind::kNone);
  const std::string to_client = r.connection->take_pending(), to_function = r.exchange.take_over();
  const TimePoint deadline = loop_.now() + settings_.stream_idle;
  auto flushed = co_await r.exchange.flush();
  if (flushed && !to_client.empty()) flushed = co_await r.exchange.stream().write(to_client, {}, deadline);
  if (flushed && !to_function.empty()) flushed = co_await r.connection->write(to_function, {}, deadline);
  uint64_t up = 0, down = 0;
  if (flushed) {
    Event ended(loop_);
    Scope both(loop_);
    both.spawn(pump(r.exchange.stream(), r.connection->stream(), settings_.stream_idle, up, ended));
    both.spawn(pump(r.connection->stream(), r.exchange.stream(), settings_.stream_idle, down, ended));
    (void)co_await ended.wait(loop_.now() + settings_.stream_max);
  }
  measure(r);
  r.exchange.stream().on_hangup({});
  detach(r);
}

// ---- failures

Task<void> Proxy::fail_with(Request& r, int status, std::string_view code, std::string_view message, std::string_view headers) {
  r.error_code = code;
  if (r.exchange.begun()) co_return;
  const std::string lines = platform_headers(r.id, settings_.location, nullptr) + std::string(headers);
  (void)co_await r.exchange.respond_error(status, code, message, r.id, lines);
}

Task<void> Proxy::refuse_lease(Request& r, const Error& error) {
  switch (error.code()) {
    case ErrorCode::kCancelled:
      r.error_code = "client_gone";
      r.exchange.close_after();
      break;
    case ErrorCode::kTimeout: co_await fail_with(r, 504, "timeout", error.message()); break;
    case ErrorCode::kTooMany: co_await fail_with(r, 429, "too_many_requests", error.message(), kRetryAfter); break;
    case ErrorCode::kFunctionFailed:
      co_await fail_with(r, 503, "start_failed", error.message() + " (`skerry logs " + r.target->function_name + "` has more)", kRetryAfter);
      break;
    case ErrorCode::kNoCapacity: co_await fail_with(r, 503, "no_capacity", error.message(), kRetryAfter); break;
    default: co_await fail_with(r, 503, "draining", error.message(), kRetryAfter); break;
  }
}

// The instance has the request (or a part of it) and no answer came.
Task<void> Proxy::answer_failure(Request& r, Error error) {
  if (r.upload_error) {
    const bool large = r.upload_error->code() == ErrorCode::kTooLarge;
    const bool slow = r.upload_error->code() == ErrorCode::kTimeout;
    r.exchange.close_after();
    r.exchange.stream().on_hangup({});
    measure(r);
    detach(r);
    co_await fail_with(r, large ? 413 : slow ? 408 : 400, large ? "body_too_large" : slow ? "request_timeout" : "bad_request", r.upload_error->message());
    co_return;
  }
  if (r.cancel.cancelled()) {
    r.error_code = "client_gone";
    r.exchange.close_after();
    measure(r);
    detach(r);
    co_return;
  }
  r.exchange.close_after();  // a body may still be on its way
  const ErrorCode code = error.code();
  if (code == ErrorCode::kTimeout) {
    // Billed like any other time that ran.
    measure(r);
    drop(r);
    co_await fail_with(r, 504, "timeout", fmt::format("the function did not answer within {} ms", r.target->revision.timeout_ms));
    co_return;
  }
  const Death death = code == ErrorCode::kTooLarge ? Death::kAlive : co_await instances_.death(r.lease.instance, loop_.now() + kDeathWait);
  measure(r);
  drop(r);
  if (death == Death::kOutOfMemory) {
    co_await fail_with(r, 502, "out_of_memory",
                       fmt::format("the function used more than its {} MB; raise [runtime] memory", r.target->revision.limits.memory_bytes >> 20));
  } else if (death == Death::kExited) {
    co_await fail_with(r, 502, "function_crashed", "the function's process ended during the request; see its log");
  } else {
    co_await fail_with(r, 502, "bad_response", error.message());
  }
}

Task<void> Proxy::settle(Lease lease, int hops, std::unique_ptr<HttpClientConnection> connection) {
  const TimePoint deadline = loop_.now() + settings_.settle_time;
  (void)co_await connection->stream().shutdown_write(deadline);
  auto buffer = std::make_unique_for_overwrite<char[]>(16 * 1024);
  LeaseEnd end = LeaseEnd::kBroken;
  for (;;) {
    auto n = co_await connection->stream().read({buffer.get(), 16 * 1024}, deadline);
    if (!n) {
      // A reset is a close too: the handler has returned.
      if (n.error().code() == ErrorCode::kUnavailable) end = LeaseEnd::kReusable;
      break;
    }
    if (*n == 0) {
      end = LeaseEnd::kReusable;
      break;
    }
  }
  connection.reset();
  instances_.set_request(lease.instance, {});
  depths_.leave(lease.instance, hops);
  instances_.release(lease, end);
}

void Proxy::drop(Request& r) {
  r.uploading.stop();
  r.connection.reset();
  give_back(r, LeaseEnd::kBroken);
}

void Proxy::detach(Request& r) {
  r.uploading.stop();  // it writes to the connection that goes
  r.leased = false;
  settling_.spawn(settle(r.lease, r.hops, std::move(r.connection)));
}

void Proxy::give_back(Request& r, LeaseEnd end) {
  if (!std::exchange(r.leased, false)) return;
  depths_.leave(r.lease.instance, r.hops);
  instances_.release(r.lease, end);
}

// ---- accounts

void Proxy::measure(Request& r) {
  if (std::exchange(r.measured, true)) return;
  const uint64_t cpu = instances_.cpu_us(r.lease.instance);
  Measured m;
  m.function = r.target->function;
  m.revision = r.target->revision.id;
  m.request_id = r.id;
  m.mode = r.lease.mode;
  m.status = r.exchange.begun() ? r.exchange.status() : 0;
  m.start_wall_ms = r.start_wall_ms;
  m.wall_us = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(loop_.now() - r.sent_at).count());
  m.cpu_us = cpu > r.cpu_before_us ? cpu - r.cpu_before_us : 0;
  m.memory_mb = static_cast<uint32_t>(r.target->revision.limits.memory_bytes >> 20);
  m.request_bytes = r.exchange.body_bytes();
  m.response_bytes = r.relayed_bytes;
  if (auto record = meter_.append(m); record) r.record = *record;
  else access_log_.logger().error("a request could not be metered", {{"request_id", r.id}, {"error", record.error().message()}});
}

void Proxy::log_request(const Request& r) {
  if (!access_log_.wants(r.exchange.status())) return;
  const http::RequestHead& head = r.exchange.head();
  const std::string_view function = r.target ? std::string_view(r.target->function_name) : "", revision = r.target ? std::string_view(r.target->revision.tag) : "";
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(loop_.now() - r.exchange.started()).count();
  access_log_.append({{"request_id", r.id},
                      {"method", head.method},
                      {"host", head.authority},
                      {"path", head.target.substr(0, head.target.find('?'))},
                      {"status", r.exchange.status()},
                      {"error", r.error_code},
                      {"function", function},
                      {"revision", revision},
                      {"instance", r.lease.instance.str()},
                      {"start", to_string(r.lease.mode)},
                      {"queued_us", std::chrono::duration_cast<std::chrono::microseconds>(r.lease.queued).count()},
                      {"start_us", std::chrono::duration_cast<std::chrono::microseconds>(r.lease.start).count()},
                      {"phases", phases_text(r.lease.phases)},
                      {"took_us", took},
                      {"request_bytes", r.exchange.body_bytes()},
                      {"response_bytes", r.exchange.sent_bytes()},
                      {"peer", r.peer}});
}

}  // namespace skerry
