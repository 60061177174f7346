// The calls of the API that do more than look something up: uploads, ships, logs, secrets, tokens, usage. See gateway.h.
#include <algorithm>
#include <charconv>

#include "base/id.h"
#include "build/offload.h"
#include "crypto/encoding.h"
#include "crypto/random.h"
#include "gateway/api_status.h"
#include "gateway/call.h"
#include "gateway/garbage.h"
#include "gateway/gateway.h"
#include "os/file.h"

namespace skerry {
namespace {

constexpr size_t kTokenBytes = 32;
constexpr size_t kMaxTokens = 1000;  // each has a window of its own in memory
constexpr size_t kMaxUnsentBytes = 1U << 20;
constexpr size_t kMaxBuildLogBytes = 16U << 20;
constexpr auto kFollowEvery = std::chrono::milliseconds(200);
constexpr size_t kLogTailLines = 20;
constexpr size_t kStartLogLooked = 500;  // other revisions of the function go on printing

// "2026-11-23T18:40:01Z", with or without fractions, or milliseconds since 1970.
Result<int64_t> parse_time(const std::string& text, int64_t absent) {
  if (text.empty()) return absent;
  if (text.find_first_not_of("0123456789") == std::string::npos && text.size() < 16) return std::stoll(text);
  std::tm tm{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &tm);
  if (rest == nullptr) return fail(ErrorCode::kInvalidArgument, "`{}` is not a time like 2026-11-23T18:40:01Z", text);
  int64_t ms = static_cast<int64_t>(::timegm(&tm)) * 1000;
  if (*rest == '.') {
    int64_t scale = 100;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, scale /= 10) ms += (*rest - '0') * scale;
  }
  if (std::string_view(rest) != "Z") return fail(ErrorCode::kInvalidArgument, "`{}`: times are in UTC and end in Z", text);
  return ms;
}

// Sends each event of a ship as a line of JSON, in order. The ship never waits for a client: past kMaxUnsentBytes log lines are left out (the whole
// log is kept by the builder), and a client that takes nothing for the write timeout is given up.
class ShipStream final : public ShipProgress {
 public:
  ShipStream(Loop& loop, Exchange& exchange) : exchange_(exchange), ready_(loop) {}

  void accepted(const FunctionRow& function, const RevisionRow& revision) override {
    function_ = function.id;
    revision_ = revision.id;
    add(json::object{{"event", "accepted"}, {"function", function.name}, {"revision", revision.id.str()}});
  }
  void stage(std::string_view name, StageState state, int64_t ms) override {
    static constexpr const char* kStates[] = {"begin", "done", "cached"};
    add(json::object{{"event", "stage"}, {"stage", name}, {"state", kStates[static_cast<size_t>(state)]}, {"ms", ms}});
  }
  void log(std::string_view stage_name, std::string_view line) override {
    if (buffer_.size() < kMaxUnsentBytes) add(json::object{{"event", "log"}, {"stage", stage_name}, {"line", line}});
    tail_.emplace_back(line);
    if (tail_.size() > kLogTailLines) tail_.erase(tail_.begin());
  }
  void warning(std::string_view text) override { add(json::object{{"event", "warning"}, {"message", text}}); }
  void add(const json::object& event) {
    buffer_ += json::serialize(event) + "\n";
    ready_.set();
  }
  void end() {
    ended_ = true;
    ready_.set();
  }
  [[nodiscard]] json::array tail() const {
    json::array out;
    for (const std::string& line : tail_) out.emplace_back(line);
    return out;
  }
  [[nodiscard]] const FunctionId& function() const { return function_; }
  [[nodiscard]] const RevisionId& revision() const { return revision_; }
  // Writes until end(). A client that went away changes nothing: the ship goes on.
  Task<void> run() {
    bool gone = false;
    while (!ended_ || !buffer_.empty()) {
      if (buffer_.empty()) {
        (void)co_await ready_.wait();
        continue;
      }
      const std::string batch = std::exchange(buffer_, {});
      if (!gone) gone = !(co_await exchange_.body(batch)).has_value();
    }
    if (!gone) (void)co_await exchange_.finish();
  }

 private:
  Exchange& exchange_;
  Event ready_;
  std::string buffer_;
  std::vector<std::string> tail_;
  FunctionId function_;  // with revision_: of what was accepted
  RevisionId revision_;
  bool ended_ = false;
};

}  // namespace

std::string Gateway::Call::parameter(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) != name) continue;
    std::string out;
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    for (size_t i = 0; i < value.size(); ++i) {
      unsigned byte = 0;
      if (value[i] == '%' && i + 2 < value.size() &&
          std::from_chars(value.data() + i + 1, value.data() + i + 3, byte, 16).ptr == value.data() + i + 3) {
        out += static_cast<char>(byte);
        i += 2;
      } else {
        out += value[i] == '+' ? ' ' : value[i];
      }
    }
    return out;
  }
  return {};
}

Task<void> Gateway::upload(Call& call) {
  const auto& head = call.exchange.head();
  if (head.framing == http::Framing::kLength && head.content_length > limits::kUploadBytes)
    co_return co_await refuse(call, 413, "too_large", fmt::format("the upload has {} bytes, the limit is {} MB", head.content_length, limits::kUploadBytes >> 20));
  std::optional<Digest> expected;
  if (const std::string_view announced = head.find("skerry-digest"); !announced.empty()) {
    auto digest = Digest::parse(std::string(announced));
    if (!digest) co_return co_await refuse(call, std::move(digest).error().context("Skerry-Digest"));
    expected = std::move(*digest);
  }
  auto writer = blobs_.create(limits::kUploadBytes);
  if (!writer) co_return co_await refuse(call, writer.error());
  for (;;) {
    auto piece = co_await call.exchange.read_body();
    if (!piece) co_return co_await refuse(call, piece.error());
    if (piece->empty()) break;
    if (auto written = writer->write(*piece); !written) co_return co_await refuse(call, std::move(written).error().context("upload"));
  }
  if (writer->size() == 0) co_return co_await refuse(call, 400, "bad_request", "the upload is empty: send a tar, gzip-compressed or not");
  const auto size = static_cast<int64_t>(writer->size());
  // Hashing and fsync of 50 MB are no matter for the loop.
  auto digest = co_await off_loop<Digest>(loop_, [writer = std::move(*writer), expected]() mutable { return writer.commit(expected); });
  if (!digest) co_return co_await refuse(call, digest.error());
  if (auto kept = store_.put_upload({digest->str(), size, 0, 0}); !kept) co_return co_await refuse(call, kept.error());
  co_await answer(call, 201, json::object{{"digest", digest->str()}, {"size", size}, {"expires_at", format_rfc3339_ms(loop_.clock().wall_ms() + Garbage::kUploadKeptMs)}});
}

Task<void> Gateway::ship(Call& call) {
  auto body = co_await read_json(call);
  if (!body) co_return co_await refuse(call, body.error());
  auto request = ShipRequest::from_json(*body, settings_.caps);
  if (!request) co_return co_await refuse(call, request.error());
  if (request->upload) {
    auto upload_row = store_.find_upload(request->upload->str());
    if (!upload_row) co_return co_await refuse(call, upload_row.error());
    if (!upload_row->has_value()) co_return co_await refuse(call, 404, "not_found", fmt::format("nothing was uploaded as {}; upload it again", request->upload->str()));
  }
  if (const int64_t seconds = over_limit(deploy_window_, settings_.ships_per_hour, std::chrono::hours(1)); seconds > 0) {
    call.extra_headers = fmt::format("retry-after: {}\r\n", seconds);
    co_return co_await refuse(call, 429, "limit_reached", fmt::format("more than {} ships in an hour; the next is possible in {} minutes", settings_.ships_per_hour, (seconds + 59) / 60));
  }
  call.status = 200;
  call.exchange.begin(200, "content-type: application/x-ndjson\r\n" + call.header_lines(), BodyKind::kChunked);
  ShipStream stream(loop_, call.exchange);
  Scope writer(loop_);
  writer.spawn(stream.run());
  const TimePoint begin = loop_.now();
  auto shipped = co_await deployer_.ship(std::move(*request), stream);
  if (shipped) {
    auto function = store_.find_function(shipped->function.str());
    auto described = function && *function ? describe(**function) : fail(ErrorCode::kNotFound, "the function was removed meanwhile");
    if (described) {
      const std::string url = deployer_.url(**function);
      stream.add(json::object{{"event", "done"}, {"function", std::move(*described)}, {"revision", describe(**function, *shipped)}, {"url", url},
                              {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(loop_.now() - begin).count()}});
    } else {
      stream.add(json::object{{"event", "error"}, {"error", json::object{{"code", "not_found"}, {"message", described.error().message()}, {"request_id", call.id}}}});
    }
  } else {
    const ShipFailure& failure = shipped.error();
    json::object error{{"code", failure.code}, {"message", words_of(failure.code, failure.message)}, {"request_id", call.id}};
    if (failure.code == "build_failed") error["details"] = json::object{{"stage", failure.stage}, {"log_tail", stream.tail()}, {"build_id", stream.revision().str()}};
    if (failure.code == "start_failed") error["details"] = json::object{{"phase", failure.stage}, {"log_tail", start_log(stream.function(), stream.revision())}};
    stream.add(json::object{{"event", "error"}, {"error", std::move(error)}});
  }
  stream.end();
  co_await writer.join();
}

// What a revision said while it started: the last lines of its instances in the function's log.
json::array Gateway::start_log(const FunctionId& function, const RevisionId& revision) {
  json::array lines;
  LogQuery query;
  query.limit = kStartLogLooked;
  const auto page = logs_.read(function, query);
  if (!page) return lines;
  for (std::string_view rest = page->lines; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const auto parsed = json::parse(line);
    const json::object* object = parsed ? parsed->if_object() : nullptr;
    const json::value* of = object != nullptr ? object->if_contains("revision") : nullptr;
    const json::value* text = object != nullptr ? object->if_contains("line") : nullptr;
    if (of == nullptr || text == nullptr || !of->is_string() || of->get_string() != revision.str()) continue;
    lines.push_back(*text);
    if (lines.size() > kLogTailLines) lines.erase(lines.begin());
  }
  return lines;
}

Task<void> Gateway::logs(Call& call, const FunctionRow& function) {
  LogQuery query;
  auto since = parse_time(call.parameter("since"), 0), until = parse_time(call.parameter("until"), INT64_MAX);
  if (!since) co_return co_await refuse(call, since.error());
  if (!until) co_return co_await refuse(call, until.error());
  query.since_ms = *since;
  query.until_ms = *until;
  query.request_id = call.parameter("request_id");
  const auto number = [&](const char* name, uint64_t absent) {
    const std::string text = call.parameter(name);
    uint64_t value = absent;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  query.after_cursor = number("cursor", 0);
  query.limit = std::min<uint64_t>(number("limit", 1000), LogReader::kMaxLines);
  const bool follow = call.parameter("follow") == "1";
  call.status = 200;
  call.exchange.begin(200, "content-type: application/x-ndjson\r\n" + call.header_lines(), BodyKind::kChunked);
  if (!co_await call.exchange.flush()) co_return;
  LogReader::Follower follower(logs_, function.id);
  if (follow) follower.skip_to_end();
  for (bool more = true; more;) {
    const bool from_cursor = query.after_cursor != 0;
    auto page = logs_.read(function.id, query);
    if (!page) break;
    if (!page->lines.empty() && !co_await call.exchange.body(page->lines)) co_return;
    // Lines that came between skip_to_end() and read() are known by their cursor.
    query.after_cursor = page->last_cursor;
    // Who follows from a cursor misses nothing, however many pages it takes.
    more = follow && from_cursor && page->count > 0;
  }
  while (follow && !call.exchange.stream().hung_up()) {
    co_await loop_.sleep_until(loop_.now() + kFollowEvery);
    const LogPage added = follower.look(query);
    query.after_cursor = std::max(query.after_cursor, added.last_cursor);
    if (!added.lines.empty() && !co_await call.exchange.body(added.lines)) co_return;
  }
  (void)co_await call.exchange.finish();
}

Task<void> Gateway::build_log(Call& call, std::string_view build_id) {
  if (!is_ulid(build_id)) co_return co_await refuse(call, 404, "not_found", fmt::format("`{}` is not the id of a build; `skerry revisions NAME --json` lists them (a revision's id is its build's)", build_id.substr(0, 64)));
  auto text = read_file(fmt::format("{}/{}.log", settings_.builds_dir, build_id), kMaxBuildLogBytes);
  if (!text) co_return co_await refuse(call, 404, "not_found", fmt::format("no log of the build `{}` is kept", build_id));
  call.status = 200;
  (void)co_await call.exchange.respond(200, "text/plain; charset=utf-8", *text, call.header_lines());
}

// ---- secrets

static void tell_rollout(const SecretRollout& rollout, json::object& body) {
  json::array names, failed;
  for (const std::string& name : rollout.redeployed) names.emplace_back(name);
  for (const auto& [name, why] : rollout.failed) failed.push_back(json::object{{"function", name}, {"message", why}});
  body["redeployed"] = std::move(names);
  body["failed"] = std::move(failed);
}

Task<void> Gateway::secrets_call(Call& call, std::string_view rest) {
  const std::string_view method = call.exchange.head().method;
  const std::string function_name = call.parameter("function");
  FunctionId function;
  if (!function_name.empty()) {
    auto found = store_.find_function(function_name);
    if (!found) co_return co_await refuse(call, found.error());
    if (!found->has_value()) co_return co_await refuse(call, 404, "not_found", fmt::format("no function `{}`", function_name));
    function = (*found)->id;
  }
  if (rest.empty() && method == "GET") {
    auto rows = store_.secrets();
    if (!rows) co_return co_await refuse(call, rows.error());
    json::array list;
    for (const SecretRow& row : *rows) {
      if (!function.empty() && row.function != function) continue;
      json::value of = nullptr;
      if (auto owner = store_.find_function(row.function.str()); owner && *owner) of = json::value((*owner)->name);
      list.push_back(json::object{{"name", row.name}, {"function", std::move(of)}, {"updated_at", format_rfc3339_ms(row.updated_ms)}, {"size", row.size}});
    }
    co_return co_await answer(call, 200, json::object{{"secrets", std::move(list)}});
  }
  const std::string name(rest.empty() ? rest : rest.substr(1));
  if (!is_env_name(name) || is_reserved_env_name(name))
    co_return co_await refuse(call, 400, "bad_request", fmt::format("`{}` cannot be a secret's name: [A-Za-z_][A-Za-z0-9_]*, and not PORT, SKERRY_* or K_*", name.substr(0, 64)));
  if (method == "PUT") co_return co_await put_secret(call, name);
  if (method == "DELETE") {
    if (auto removed = store_.remove_secret(name, function); !removed) co_return co_await refuse(call, removed.error());
    auto rollout = co_await deployer_.redeploy_for_secret(name, function, Deployer::SecretChange::kRemoved);
    if (!rollout) co_return co_await refuse(call, rollout.error());
    json::object body{{"name", name}, {"function", function_name.empty() ? json::value(nullptr) : json::value(function_name)}};
    tell_rollout(*rollout, body);
    co_return co_await answer(call, 200, std::move(body));
  }
  co_await refuse(call, 404, "not_found", fmt::format("there is no {} {}", method, call.path));
}

Task<void> Gateway::put_secret(Call& call, const std::string& name) {
  auto body = co_await read_json(call);
  if (!body) co_return co_await refuse(call, body.error());
  json::ObjectReader r(*body, "");
  std::string value = r.string("value", limits::kSecretValueBytes);
  const std::string of = r.string("function", 64);
  if (value.empty() || value.find('\0') != std::string::npos) r.refuse("value", "is empty or has a NUL byte");
  if (auto good = r.finish(); !good) co_return co_await refuse(call, good.error());
  SecretBytes secret = SecretBytes::take_from(value);
  FunctionId function;
  if (!of.empty()) {
    auto found = store_.find_function(of);
    if (!found) co_return co_await refuse(call, found.error());
    if (!found->has_value()) co_return co_await refuse(call, 404, "not_found", fmt::format("no function `{}`; ship it first, or leave `function` out for a shared secret", of));
    function = (*found)->id;
  }
  auto rows = store_.secrets();
  if (!rows) co_return co_await refuse(call, rows.error());
  const auto same_owner = [&](const SecretRow& row) { return row.function == function; };
  const bool replaced = std::any_of(rows->begin(), rows->end(), [&](const SecretRow& row) { return same_owner(row) && row.name == name; });
  if (!replaced && std::count_if(rows->begin(), rows->end(), same_owner) >= static_cast<ptrdiff_t>(limits::kSecrets))
    co_return co_await refuse(call, 429, "limit_reached", fmt::format("there are {} secrets {} already; remove one first", limits::kSecrets, of.empty() ? "shared by all functions" : "of this function"));
  if (auto set = deployer_.set_secret(name, function, secret); !set) co_return co_await refuse(call, set.error());
  auto rollout = co_await deployer_.redeploy_for_secret(name, function, Deployer::SecretChange::kSet);
  if (!rollout) co_return co_await refuse(call, rollout.error());
  json::object answered{{"name", name}, {"function", of.empty() ? json::value(nullptr) : json::value(of)}, {"updated_at", format_rfc3339_ms(loop_.clock().wall_ms())}};
  tell_rollout(*rollout, answered);
  co_await answer(call, 200, std::move(answered));
}

// ---- tokens and usage

Task<void> Gateway::tokens_call(Call& call, std::string_view rest) {
  const std::string_view method = call.exchange.head().method;
  if (rest.empty() && method == "GET") {
    auto rows = store_.tokens();
    if (!rows) co_return co_await refuse(call, rows.error());
    json::array list;
    for (const TokenRow& row : *rows)
      list.push_back(json::object{{"id", row.id}, {"name", row.name}, {"created_at", format_rfc3339_ms(row.created_ms)},
                                  {"last_used_at", row.last_used_ms > 0 ? json::value(format_rfc3339_ms(row.last_used_ms)) : json::value(nullptr)}});
    co_return co_await answer(call, 200, json::object{{"tokens", std::move(list)}});
  }
  if (rest.empty() && method == "POST") {
    auto body = co_await read_json(call);
    if (!body) co_return co_await refuse(call, body.error());
    json::ObjectReader r(*body, "");
    const std::string name = r.string("name", 100);
    if (name.empty()) r.refuse("name", "is missing");
    if (auto good = r.finish(); !good) co_return co_await refuse(call, good.error());
    auto rows = store_.tokens();
    if (!rows) co_return co_await refuse(call, rows.error());
    if (rows->size() >= kMaxTokens) co_return co_await refuse(call, 429, "limit_reached", fmt::format("there are {} tokens already; remove one first", kMaxTokens));
    const std::string token = "skt_" + base64_url(random_bytes(kTokenBytes)), id = new_ulid();
    if (auto added = store_.add_token({id, name, 0, 0}, hex(sha256(token))); !added) co_return co_await refuse(call, added.error());
    co_return co_await answer(call, 201, json::object{{"id", id}, {"name", name}, {"token", token}});
  }
  if (!rest.empty() && method == "DELETE") {
    auto rows = store_.tokens();
    if (!rows) co_return co_await refuse(call, rows.error());
    if (rows->size() == 1 && rows->front().id == rest.substr(1))
      co_return co_await refuse(call, 409, "conflict", "this is the only token; make another before removing it, or nobody can use the gateway any more");
    if (auto removed = store_.remove_token(std::string(rest.substr(1))); !removed) co_return co_await refuse(call, removed.error());
    call.status = 204;
    (void)co_await call.exchange.respond(204, {}, {}, call.header_lines());
    co_return;
  }
  co_await refuse(call, 404, "not_found", fmt::format("there is no {} {}", method, call.path));
}

Task<void> Gateway::usage(Call& call) {
  const int64_t now = loop_.clock().wall_ms();
  auto since = parse_time(call.parameter("since"), now - int64_t{30} * 86'400'000), until = parse_time(call.parameter("until"), now);
  if (!since) co_return co_await refuse(call, since.error());
  if (!until) co_return co_await refuse(call, until.error());
  constexpr int64_t kHour = 3'600'000;
  Result<void> collected;
  if (settings_.collect_usage) collected = settings_.collect_usage();
  const int64_t from = *since / kHour * kHour;  // sums are of whole hours
  auto rows = store_.usage(from, *until + 1);
  if (!rows) co_return co_await refuse(call, rows.error());
  auto names = store_.function_names();
  if (!names) co_return co_await refuse(call, names.error());
  const std::string only = call.parameter("function");
  if (!only.empty() && std::none_of(names->begin(), names->end(), [&](const auto& entry) { return entry.second == only || entry.first.str() == only; }))
    co_return co_await refuse(call, 404, "not_found", fmt::format("no function `{}`, and none of that name was removed", only));
  static constexpr const char* kModes[] = {"warm", "thaw", "wake", "fork", "prestart", "boot"};
  std::map<std::pair<std::string, std::string>, json::object> sums;
  for (const UsageRow& row : *rows) {
    const auto known = names->find(row.function);
    const std::string name = known != names->end() ? known->second : row.function.str();
    if (!only.empty() && name != only && row.function.str() != only) continue;
    json::object& sum = sums[{name, row.location}];
    const auto add = [&](const char* key, int64_t value) { sum[key] = (sum.contains(key) ? sum[key].get_int64() : 0) + value; };
    sum["function"] = name;
    sum["location"] = row.location;
    add("requests", row.requests);
    add("errors", row.errors);
    add("wall_ms", row.wall_us / 1000);
    add("cpu_ms", row.cpu_us / 1000);
    add("memory_mb_ms", row.memory_mb_ms);
    add("request_bytes", row.request_bytes);
    add("response_bytes", row.response_bytes);
    if (!sum.contains("starts")) sum["starts"] = json::object{{"warm", 0}, {"thaw", 0}, {"fork", 0}, {"prestart", 0}, {"boot", 0}};
    json::object& starts = sum["starts"].get_object();
    const char* mode = kModes[std::clamp<int64_t>(row.start_mode, 0, 5)];
    starts[mode] = (starts.contains(mode) ? starts[mode].get_int64() : 0) + row.requests;
  }
  json::array list;
  for (auto& [key, sum] : sums) list.push_back(std::move(sum));
  json::object body{{"since", format_rfc3339_ms(from)}, {"until", format_rfc3339_ms(*until)}, {"functions", std::move(list)}};
  // Nothing is lost: the journal is read on from here as soon as that goes.
  if (!collected) body["incomplete"] = words_of(api_status(collected.error().code()).code, "the latest requests are not in the sums yet: " + collected.error().message());
  co_await answer(call, 200, std::move(body));
}

}  // namespace skerry
