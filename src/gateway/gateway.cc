#include "gateway/gateway.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <charconv>

#include "crypto/encoding.h"
#include "crypto/random.h"
#include "gateway/api_status.h"
#include "gateway/artifact.h"
#include "gateway/call.h"
#include "os/file.h"

namespace skerry {

namespace {
constexpr uint64_t kRoomForAShip = 2 * limits::kRevisionBytes;  // the archive and what is unpacked from it
}

Gateway::Gateway(Loop& loop, const Logger& logger, Store& store, BlobStore& blobs, Deployer& deployer, WatchServer& watch, LogReader logs,
                 GatewaySettings settings)
    : loop_(loop), logger_(logger), store_(store), blobs_(blobs), deployer_(deployer), watch_(watch), logs_(std::move(logs)), settings_(std::move(settings)) {}

// ---- answers

Task<void> Gateway::answer(Call& call, int status, const json::value& body) {
  call.status = status;
  (void)co_await call.exchange.respond(status, "application/json", json::serialize(body) + "\n", call.header_lines());
}

Task<void> Gateway::refuse(Call& call, int status, std::string_view code, std::string_view message, const json::object* details) {
  json::object error{{"code", code}, {"message", message}, {"request_id", call.id}};
  if (details != nullptr) error["details"] = *details;
  if (!call.exchange.body_done()) call.exchange.close_after();
  co_await answer(call, status, json::object{{"error", std::move(error)}});
}

Task<void> Gateway::refuse(Call& call, const Error& error) {
  const ApiStatus status = api_status(error.code());
  if (status.status == 500) logger_.error("an API call failed", {{"request_id", call.id}, {"error", error.message()}});
  co_await refuse(call, status.status, status.code, words_of(status.code, error.message()));
}

std::string Gateway::words_of(std::string_view code, std::string message) const {
  struct statvfs disk {};
  // With room for any ship the disk is not what is short.
  if (code != "no_space" || ::statvfs(settings_.state_dir.c_str(), &disk) != 0 || disk.f_bavail * disk.f_frsize > kRoomForAShip) return message;
  return fmt::format("{}; the disk that holds `{}` has {} MB and {} files left: make room there and try again", message, settings_.state_dir,
                     (disk.f_bavail * disk.f_frsize) >> 20, disk.f_favail);
}

Task<Result<json::value>> Gateway::read_json(Call& call) {
  std::string text;
  for (;;) {
    CO_TRY_ASSIGN(const std::string_view piece, co_await call.exchange.read_body());
    if (piece.empty()) break;
    if (text.size() + piece.size() > kMaxJsonBytes) co_return fail(ErrorCode::kTooLarge, "the request body is larger than {} bytes", kMaxJsonBytes);
    text += piece;
  }
  co_return json::parse(text);
}

int64_t Gateway::over_limit(Window& window, int limit, Duration length) {
  const TimePoint now = loop_.now();
  if (now - window.start >= length) window = {now, 0};
  if (window.count < limit) return ++window.count, 0;
  return std::chrono::ceil<std::chrono::seconds>(window.start + length - now).count();
}

Result<std::string> Gateway::authorize(const Call& call) {
  const std::string_view header = call.exchange.head().find("authorization");
  constexpr std::string_view kBearer = "Bearer ";
  if (!header.starts_with(kBearer)) return fail(ErrorCode::kUnauthorized, "a token is needed: `Authorization: Bearer <token>`; `skerry` reads it from SKERRY_TOKEN or its config.toml");
  // Only the hash is stored and compared; a lookup by hash tells nothing by its time.
  TRY_ASSIGN(const auto token, store_.find_token(hex(sha256(header.substr(kBearer.size())))));
  if (!token) return fail(ErrorCode::kUnauthorized, "this token is not valid (removed, mistyped, or of another gateway)");
  if (loop_.clock().wall_ms() - token->last_used_ms > 60'000) (void)store_.touch_token(token->id);
  return token->id;
}

// ---- routing

Task<void> Gateway::handle(Exchange& exchange) {
  Call call(exchange);
  co_await route(call);
  logger_.info("api", {{"request_id", call.id}, {"method", exchange.head().method}, {"path", call.path}, {"status", call.status}});
}

Task<void> Gateway::route(Call& call) {
  const std::string_view method = call.exchange.head().method;
  if (call.path == "/v1/health" && method == "GET") co_return co_await answer(call, 200, json::object{{"status", "ok"}, {"version", SKERRY_VERSION}});
  auto token = authorize(call);
  if (!token) co_return co_await refuse(call, token.error());
  if (const int64_t seconds = over_limit(request_windows_[*token], kRequestsPerMinute, std::chrono::minutes(1)); seconds > 0) {
    call.extra_headers = fmt::format("retry-after: {}\r\n", seconds);
    co_return co_await refuse(call, 429, "limit_reached", fmt::format("more than {} requests in a minute with this token", kRequestsPerMinute));
  }
  std::string_view path = call.path;
  const auto is = [&](std::string_view m, std::string_view p) { return method == m && path == p; };
  if (is("GET", "/v1/status")) co_return co_await status(call);
  if (is("GET", "/v1/ca")) co_return co_await answer(call, 200, json::object{{"pem", settings_.ca_pem}});
  if (is("POST", "/v1/uploads")) co_return co_await upload(call);
  if (is("POST", "/v1/functions/ship")) co_return co_await ship(call);
  if (is("GET", "/v1/usage")) co_return co_await usage(call);
  if (path == "/v1/secrets" || path.starts_with("/v1/secrets/")) co_return co_await secrets_call(call, path.substr(11));
  if (path == "/v1/tokens" || path.starts_with("/v1/tokens/")) co_return co_await tokens_call(call, path.substr(10));
  if (is("GET", "/v1/functions")) {
    auto functions = store_.functions();
    if (!functions) co_return co_await refuse(call, functions.error());
    json::array list;
    for (const FunctionRow& function : *functions)
      if (auto described = describe(function)) list.push_back(std::move(*described));
    co_return co_await answer(call, 200, json::object{{"functions", std::move(list)}});
  }
  constexpr std::string_view kFunctions = "/v1/functions/";
  if (path.starts_with(kFunctions)) {
    path.remove_prefix(kFunctions.size());
    const size_t slash = std::min(path.find('/'), path.size());
    co_return co_await function_call(call, std::string(path.substr(0, slash)), path.substr(slash));
  }
  co_await refuse(call, 404, "not_found", fmt::format("there is no {} {}; the API is described in docs/api.md", method, call.path));
}

Task<void> Gateway::function_call(Call& call, std::string name, std::string_view rest) {
  const std::string_view method = call.exchange.head().method;
  auto found = store_.find_function(name);
  if (!found) co_return co_await refuse(call, found.error());
  if (!found->has_value()) co_return co_await refuse(call, 404, "not_found", fmt::format("no function `{}`; `skerry ls` lists them", name));
  const FunctionRow& function = **found;
  if (rest.empty() && method == "GET") {
    auto described = describe(function);
    if (!described) co_return co_await refuse(call, described.error());
    co_return co_await answer(call, 200, std::move(*described));
  }
  if (rest.empty() && method == "DELETE") {
    if (auto removed = co_await deployer_.remove(function); !removed) co_return co_await refuse(call, removed.error());
    call.status = 204;
    (void)co_await call.exchange.respond(204, {}, {}, call.header_lines());
    co_return;
  }
  if (rest == "/revisions" && method == "GET") {
    auto rows = store_.revisions(function.id);
    if (!rows) co_return co_await refuse(call, rows.error());
    json::array list;
    for (const RevisionRow& row : *rows) list.push_back(describe(function, row));
    co_return co_await answer(call, 200, json::object{{"revisions", std::move(list)}});
  }
  if (rest == "/rollback" && method == "POST") co_return co_await rollback(call, function);
  if (rest == "/logs" && method == "GET") co_return co_await logs(call, function);
  constexpr std::string_view kBuilds = "/builds/";
  if (rest.starts_with(kBuilds) && rest.ends_with("/log") && method == "GET")
    co_return co_await build_log(call, rest.substr(kBuilds.size(), rest.size() - kBuilds.size() - 4));
  co_await refuse(call, 404, "not_found", fmt::format("there is no {} {}", method, call.path));
}

Task<void> Gateway::rollback(Call& call, const FunctionRow& function) {
  auto body = co_await read_json(call);
  if (!body) co_return co_await refuse(call, body.error());
  json::ObjectReader r(*body, "");
  const std::string revision = r.string("revision", 64);
  if (revision.empty()) r.refuse("revision", "is missing: an id, tag or number");
  if (auto good = r.finish(); !good) co_return co_await refuse(call, good.error());
  if (auto done = co_await deployer_.rollback(function, revision); !done) co_return co_await refuse(call, done.error());
  auto now = store_.find_function(function.id.str());
  auto described = now && *now ? describe(**now) : fail(ErrorCode::kNotFound, "the function was removed meanwhile");
  if (!described) co_return co_await refuse(call, described.error());
  co_await answer(call, 200, std::move(*described));
}

// ---- what things look like

json::object Gateway::describe(const FunctionRow& function, const RevisionRow& r) {
  static constexpr const char* kStates[] = {"building", "ready", "failed"};
  auto config = json::parse(r.spec_json);
  json::object out{{"id", r.id.str()},
                   {"number", r.number},
                   {"tag", r.tag},
                   {"state", kStates[static_cast<size_t>(r.state)]},
                   {"created_at", format_rfc3339_ms(r.created_ms)},
                   {"language", r.language},
                   {"digest", r.source_digest},
                   {"size", r.size_bytes},
                   {"config", config ? std::move(*config) : json::value(nullptr)},
                   {"url", deployer_.url(function, r)},
                   {"active", r.id == function.active}};
  if (const auto artifact = artifact_from_json(r.artifact_json); artifact && !artifact->image.empty()) out["image"] = artifact->image;
  if (!r.error.empty()) out["error"] = r.error;
  return out;
}

namespace {
json::object phases_ms(const StartPhases& p) {
  const auto ms = [](Duration d) { return static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(d).count()) / 1000.0; };
  return {{"slot", ms(p.slot)}, {"mount", ms(p.mount)}, {"runtime", ms(p.runtime)}, {"code", ms(p.code)}, {"ready", ms(p.ready)}};
}
}  // namespace

Result<json::object> Gateway::describe(const FunctionRow& function) {
  TRY_ASSIGN(const auto rows, store_.revisions(function.id));
  int64_t idle = 0, busy = 0, starting = 0, frozen = 0;
  std::string mode;
  StartPhases phases;
  int64_t newest = 0;
  for (const watch::InstanceState& i : watch_.instances()) {
    if (i.function != function.id) continue;
    if (i.state == "idle") ++idle;
    if (i.state == "busy") ++busy;
    if (i.state == "starting") ++starting;
    if (i.state == "frozen") ++frozen;
    if (i.started_ms > newest) newest = i.started_ms, mode = i.mode, phases = i.phases;
  }
  json::object out{{"id", function.id.str()},
                   {"name", function.name},
                   {"url", deployer_.url(function)},
                   {"revision", nullptr},
                   {"revisions", rows.size()},
                   {"created_at", format_rfc3339_ms(function.created_ms)},
                   {"updated_at", format_rfc3339_ms(function.updated_ms)},
                   {"config", nullptr},
                   {"instances", json::object{{"idle", idle}, {"busy", busy}, {"starting", starting}, {"frozen", frozen}}}};
  for (const RevisionRow& row : rows) {
    if (row.id != function.active) continue;
    json::object revision = describe(function, row);
    out["config"] = revision["config"];
    out["revision"] = std::move(revision);
  }
  if (newest > 0) {
    json::object start{{"mode", mode}, {"at", format_rfc3339_ms(newest)}};
    if (phases != StartPhases{}) start["phases"] = phases_ms(phases);
    out["last_start"] = std::move(start);
  }
  return out;
}

Task<void> Gateway::status(Call& call) {
  json::array instances;
  for (const watch::InstanceState& i : watch_.instances())
    instances.push_back(json::object{{"id", i.id.str()}, {"function", i.function.str()}, {"revision", i.revision.str()}, {"state", i.state},
                                     {"started_at", format_rfc3339_ms(i.started_ms)}});
  auto functions = store_.functions();
  const auto table = read_file(settings_.run_dir + "/processes.json", 64 * 1024);
  auto processes = table ? json::parse(*table) : fail(ErrorCode::kNotFound, "");
  co_await answer(call, 200,
                  json::object{{"version", SKERRY_VERSION},
                               {"gateway_id", settings_.gateway_id},
                               {"location", settings_.location},
                               {"domain", settings_.domain},
                               {"ports", json::object{{"https", settings_.https_port}, {"http", settings_.http_port}, {"api", settings_.api_port}}},
                               {"functions", functions ? functions->size() : 0},
                               {"instances", std::move(instances)},
                               {"processes", processes ? std::move(*processes) : json::value(json::array())},
                               {"edge_connected", watch_.connected()}});
}

}  // namespace skerry
