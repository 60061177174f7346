#include "gateway/deployer.h"

#include <algorithm>
#include <charconv>

#include "crypto/random.h"
#include "gateway/api_status.h"
#include "gateway/artifact.h"
#include "os/file.h"

namespace skerry {
namespace {

constexpr const char* kVersionKey = "config_version";
constexpr auto kVerifySlack = std::chrono::seconds(10);

std::unexpected<ShipFailure> ship_failed(std::string code, int status, std::string stage, std::string message) {
  return std::unexpected(ShipFailure{std::move(code), status, std::move(stage), std::move(message)});
}

std::unexpected<ShipFailure> platform_failed(const Error& error) {
  const ApiStatus status = api_status(error.code());
  return ship_failed(std::string(status.code), status.status, "", error.message());
}

// "deps: pip could not ..." -> stage and the rest.
std::pair<std::string, std::string> split_stage(const std::string& text) {
  const size_t colon = text.find(": ");
  if (colon == std::string::npos || colon > 16) return {"build", text};
  return {text.substr(0, colon), text.substr(colon + 2)};
}

// One change of a function at a time.
class Busy {
 public:
  Busy(std::set<std::string>& set, std::string name) : set_(set), name_(std::move(name)), mine_(set.insert(name_).second) {}
  ~Busy() {
    if (mine_) set_.erase(name_);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  [[nodiscard]] bool mine() const { return mine_; }

 private:
  std::set<std::string>& set_;
  std::string name_;
  bool mine_;
};

}  // namespace

Deployer::Deployer(Loop& loop, const Logger& logger, Store& store, const Vault& vault, Builder& builder, WatchServer& watch, DeploySettings settings)
    : loop_(loop), logger_(logger), store_(store), vault_(vault), builder_(builder), watch_(watch), settings_(std::move(settings)) {}

Result<void> Deployer::recover() {
  TRY_ASSIGN(const int64_t failed, store_.fail_unfinished("control restarted while this revision was being made; ship again"));
  if (failed > 0) logger_.warn("failed revisions that were being made", {{"count", failed}});
  return {};
}

// ---- names

std::string Deployer::host(const FunctionRow& function) const {
  return fmt::format("{}-{}.{}", function.name, settings_.gateway_id.substr(0, 10), settings_.domain);
}

namespace {
std::string with_port(const std::string& host, uint16_t port) { return port == 443 ? fmt::format("https://{}/", host) : fmt::format("https://{}:{}/", host, port); }
}  // namespace

std::string Deployer::url(const FunctionRow& function) const { return with_port(host(function), settings_.https_port); }
std::string Deployer::url(const FunctionRow& function, const RevisionRow& revision) const {
  return with_port(revision.tag + "--" + host(function), settings_.https_port);
}

// ---- what edges get

Result<FunctionConfig> Deployer::function_config(const FunctionRow& function) {
  FunctionConfig config;
  config.id = function.id;
  config.org = OrgId("default");
  config.name = function.name;
  TRY_ASSIGN(const auto rows, store_.revisions(function.id));
  size_t kept = 0;
  for (const RevisionRow& row : rows) {
    const bool active = row.id == function.active;
    if (row.state != RevisionState::kReady || (!active && kept >= kTagHosts)) continue;
    ++kept;
    auto parsed = json::parse(row.config_json);
    auto revision = parsed ? RevisionConfig::from_json(*parsed) : pass(std::move(parsed).error());
    if (!revision) {
      logger_.error("a stored revision cannot be read", {{"revision", row.id.str()}, {"error", revision.error().message()}});
      continue;
    }
    config.routes.push_back({row.tag + "--" + host(function), {{row.id, 1}}});
    if (active) config.routes.push_back({host(function), {{row.id, 1}}});
    // Only what takes the function's own traffic is kept warm.
    if (!active) revision->min_instances = 0;
    config.revisions.push_back(std::move(*revision));
  }
  return config;
}

Result<watch::Snapshot> Deployer::snapshot() {
  watch::Snapshot s;
  TRY_ASSIGN(const std::string version, store_.meta(kVersionKey));
  std::from_chars(version.data(), version.data() + version.size(), s.version);
  s.gateway_id = settings_.gateway_id;
  s.location = settings_.location;
  s.domain = settings_.domain;
  s.certificate_pem = certificate_.certificate_pem;
  s.key_pem = certificate_.key_pem;
  TRY_ASSIGN(const auto functions, store_.functions());
  for (const FunctionRow& function : functions) {
    if (function.active.empty()) continue;
    TRY_ASSIGN(FunctionConfig config, function_config(function));
    s.functions.push_back(std::move(config));
  }
  return s;
}

Task<Result<void>> Deployer::publish_all() {
  CO_TRY_ASSIGN(const int64_t version, store_.next_number(kVersionKey));
  CO_TRY_ASSIGN(watch::Snapshot whole, snapshot());
  (void)co_await watch_.publish(std::move(whole), static_cast<uint64_t>(version), loop_.now() + kApplyTime);
  co_return Result<void>{};
}

Task<bool> Deployer::publish(FunctionId id) {
  auto version = store_.next_number(kVersionKey);
  auto function = store_.find_function(id.str());
  if (!version || !function) co_return false;
  const auto number = static_cast<uint64_t>(*version);
  const TimePoint deadline = loop_.now() + kApplyTime;
  if (!function->has_value()) co_return co_await watch_.publish(watch::FunctionRemoved{number, id}, number, deadline);
  auto config = function_config(**function);
  if (!config) co_return false;
  co_return co_await watch_.publish(watch::FunctionChange{number, std::move(*config)}, number, deadline);
}

// ---- secrets

namespace {
std::string secret_place(const std::string& name, const FunctionId& function) { return fmt::format("default/{}/{}", function.str(), name); }
}  // namespace

Result<void> Deployer::set_secret(const std::string& name, const FunctionId& function, const SecretBytes& value) {
  TRY_ASSIGN(std::string sealed, vault_.seal(value, secret_place(name, function)));
  return store_.put_secret({name, function, std::move(sealed), static_cast<int64_t>(value.size())});
}

Result<std::map<std::string, SecretRow>> Deployer::resolve_secrets(const FunctionId& function, const FunctionSpec& spec) {
  TRY_ASSIGN(const auto rows, store_.secrets());
  // The function's own wins over a shared one of the same name.
  std::map<std::string, SecretRow> available;
  for (const SecretRow& row : rows)
    if (row.function.empty()) available[row.name] = row;
  for (const SecretRow& row : rows)
    if (row.function == function) available[row.name] = row;
  if (!spec.secrets) return available;
  std::map<std::string, SecretRow> wanted;
  for (const auto& [binding, name] : *spec.secrets) {
    const auto found = available.find(name);
    if (found == available.end())
      return fail(ErrorCode::kInvalidArgument, "the secret `{}` does not exist; `skerry secrets set {}` makes it", name, name);
    wanted[name] = found->second;
    wanted[binding] = found->second;
  }
  return wanted;
}

Result<Deployer::SealedSecrets> Deployer::seal_secrets(const FunctionId& function, const FunctionSpec& spec) {
  TRY_ASSIGN(auto wanted, resolve_secrets(function, spec));
  // CONTRACT section 3: what [env_vars] sets is later, and wins.
  for (const auto& [name, value] : spec.env) wanted.erase(name);
  SealedSecrets sealed;
  if (wanted.empty()) return sealed;
  std::vector<NamedSecret> opened;
  for (const auto& [env_name, row] : wanted) {
    TRY_ASSIGN(SecretBytes value, vault_.open_sealed(row.sealed, secret_place(row.name, row.function)));
    opened.push_back({env_name, std::move(value)});
    sealed.names.insert(env_name);
  }
  TRY_ASSIGN(const std::string key, read_file(settings_.location_key_path, 4096), "the location's public key (is keeper running?)");
  const size_t end = key.find_last_not_of(" \r\n");
  TRY_ASSIGN(sealed.blob, seal_for_location(key.substr(0, end == std::string::npos ? 0 : end + 1), opened));
  return sealed;
}

// ---- ship

Result<FunctionRow> Deployer::find_or_make(const ShipRequest& request) {
  // CONTRACT section 1: a known id wins; anything else is a hint and the name decides.
  if (!request.id_hint.empty()) {
    TRY_ASSIGN(const auto by_id, store_.find_function(request.id_hint));
    if (by_id && by_id->id.str() == request.id_hint) return *by_id;
  }
  TRY_ASSIGN(const auto found, store_.find_function(request.name));
  if (found) return *found;
  TRY_ASSIGN(const auto all, store_.functions());
  if (all.size() >= limits::kFunctions) return fail(ErrorCode::kTooMany, "this organization has {} functions, the limit; `skerry rm` one", all.size());
  if (!request.has_code()) return fail(ErrorCode::kNotFound, "no function `{}` to change; ship it with its code first", request.name);
  FunctionRow row;
  row.id = FunctionId(new_ulid());
  row.name = request.name;
  TRY(store_.add_function(row));
  return row;
}

// Variables that a runtime or its C library looks at once, before any code of the function.
static bool is_read_at_start(std::string_view name) {
  if (name == "NODE_ENV") return false;
  for (const std::string_view whole : {"TZ", "LANG", "CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"})
    if (name == whole) return true;
  for (const std::string_view prefix : {"NODE_", "PYTHON", "LD_", "GLIBC_", "MALLOC_", "OPENSSL_", "SSL_CERT_", "LC_", "UV_"})
    if (name.starts_with(prefix)) return true;
  return false;
}

RevisionConfig Deployer::make_config(const FunctionRow& function, const RevisionRow& revision, const FunctionSpec& spec, const BuildResult& artifact,
                                     SealedSecrets sealed, ShipProgress& progress) {
  RevisionConfig c;
  c.id = revision.id;
  c.tag = revision.tag;
  c.number = revision.number;
  c.layers = artifact.layers;
  c.argv = artifact.argv;
  c.transport = artifact.transport;
  c.port = artifact.port;
  c.runtime_layers = artifact.runtime_layers;
  c.health_path = spec.health_path.value_or(artifact.health_path);
  c.limits.memory_bytes = static_cast<uint64_t>(spec.memory_mb) << 20;
  c.limits.scratch = spec.scratch_mb > 0 ? Scratch::kDisk : Scratch::kMemory;
  c.limits.scratch_bytes = spec.scratch_mb > 0 ? static_cast<uint64_t>(spec.scratch_mb) << 20 : c.limits.memory_bytes / 2;
  c.limits.cpu_millis = static_cast<uint32_t>(spec.cpu_millis);
  c.timeout_ms = spec.timeout_ms;
  c.start_timeout_ms = spec.start_timeout_ms;
  c.idle_timeout_ms = spec.idle_timeout_ms;
  c.concurrency = spec.concurrency;
  c.min_instances = spec.min_instances;
  c.max_instances = spec.max_instances;
  c.background = spec.background;
  c.egress = spec.egress;
  c.sealed_secrets = std::move(sealed.blob);
  std::map<std::string, std::string> env{{"PORT", std::to_string(artifact.port)},
                                         {"PATH", "/usr/local/bin:/usr/bin:/bin"},
                                         {"HOME", "/home/fn"},
                                         {"USER", "fn"},
                                         {"TMPDIR", "/tmp"},
                                         {"LANG", "C.UTF-8"},
                                         {"TZ", "UTC"},
                                         {"SKERRY_FUNCTION", function.name},
                                         {"SKERRY_REVISION", revision.tag},
                                         {"SKERRY_LOCATION", settings_.location},
                                         {"K_SERVICE", function.name},
                                         {"K_CONFIGURATION", function.name},
                                         {"K_REVISION", fmt::format("{}-{:05}", function.name, revision.number)}};
  for (const std::string& entry : artifact.env) {
    const size_t equals = entry.find('=');
    env[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  // CONTRACT section 3: then secrets, then [env_vars]; later wins, and a container's environment has each name once.
  for (const std::string& name : sealed.names)
    if (env.erase(name) > 0) progress.warning(fmt::format("the secret `{}` takes the place of the variable that the platform sets", name));
  for (const auto& [name, value] : spec.env) {
    if (env.contains(name)) progress.warning(fmt::format("`{}` in [env_vars] takes the place of the variable that the platform sets", name));
    env[name] = value;
  }
  // A spare has started without them.
  const auto own = [&](const auto& name) { return is_read_at_start(name); };
  if (std::any_of(sealed.names.begin(), sealed.names.end(), own) || std::any_of(spec.env.begin(), spec.env.end(), [&](const auto& entry) { return own(entry.first); }))
    c.runtime_layers = 0;
  for (const auto& [name, value] : env) c.env.push_back(name + "=" + value);
  return c;
}

void Deployer::fail_revision(RevisionRow& row, const std::string& why) {
  row.state = RevisionState::kFailed;
  row.error = why;
  if (auto updated = store_.update_revision(row); !updated) logger_.error("a failed revision cannot be marked", {{"error", updated.error().message()}});
}

std::unexpected<ShipFailure> Deployer::fail_ship(RevisionRow& row, const Error& error) {
  fail_revision(row, error.message());
  return platform_failed(error);
}

Task<std::expected<RevisionRow, ShipFailure>> Deployer::ship(ShipRequest request, ShipProgress& progress) {
  auto function = find_or_make(request);
  if (!function) co_return platform_failed(function.error());
  const Busy busy(busy_, function->name);
  if (!busy.mine()) co_return ship_failed("conflict", 409, "", fmt::format("another change of `{}` is under way; wait for it and ship again", function->name));
  auto shipped = co_await ship_locked(std::move(request), *function, WithoutEdge::kRefuse, progress);
  co_await renew_if_stale(function->id, function->name);
  co_return shipped;
}

std::expected<BuildResult, ShipFailure> Deployer::active_artifact(const FunctionRow& function, RevisionRow& row) {
  auto active = store_.find_revision(function.active);
  if (!active) return platform_failed(active.error());
  if (!active->has_value()) return ship_failed("not_found", 404, "", fmt::format("`{}` has no code yet; ship it with its code first", function.name));
  auto kept = artifact_from_json((*active)->artifact_json);
  if (!kept) return platform_failed(kept.error());
  row.source_digest = (*active)->source_digest;
  return std::move(*kept);
}

ShipFailure Deployer::fail_build(RevisionRow& row, const Error& error) {
  if (error.code() != ErrorCode::kFunctionFailed) return fail_ship(row, error).error();
  fail_revision(row, error.message());
  auto [stage, message] = split_stage(error.message());
  return {"build_failed", 422, std::move(stage), std::move(message)};
}

Task<std::expected<BuildResult, ShipFailure>> Deployer::build(const ShipRequest& request, const FunctionRow& function, RevisionRow& row, ShipProgress& progress) {
  auto built = co_await builder_.build(build_order(request, function, row), progress);
  if (!built) co_return std::unexpected(fail_build(row, built.error()));
  co_return std::move(*built);
}

Task<std::expected<RevisionRow, ShipFailure>> Deployer::ship_locked(ShipRequest request, FunctionRow function, WithoutEdge without, ShipProgress& progress) {
  BuildResult artifact;
  RevisionRow row;
  row.id = RevisionId(new_ulid());
  Result<std::optional<RevisionRow>> resolved = std::nullopt;
  if (request.image) {
    resolved = co_await resolve(request, function, row, progress);
    if (resolved && *resolved) co_return std::move(**resolved);
    if (resolved) row.source_digest = request.image->digest->str();
  } else if (request.upload) {
    row.source_digest = request.upload->str();
  } else {
    auto kept = active_artifact(function, row);
    if (!kept) co_return std::unexpected(kept.error());
    artifact = std::move(*kept);
  }
  row.function = function.id;
  row.tag = random_text(7, "abcdefghjkmnpqrstuvwxyz23456789");
  row.language = request.language;
  row.spec_json = json::serialize(request.spec.to_json());
  auto number = store_.add_revision(row, limits::kRevisionsKept);
  if (!number) co_return platform_failed(number.error());
  row.number = *number;
  progress.accepted(function, row);
  if (!resolved) co_return std::unexpected(fail_build(row, resolved.error()));

  // The secrets' names first: one that does not exist fails before a build is made for nothing.
  auto secrets = resolve_secrets(function.id, request.spec);
  if (!secrets) co_return fail_ship(row, secrets.error());
  for (const auto& [name, value] : request.spec.env)
    if (secrets->contains(name)) progress.warning(fmt::format("`{}` is a secret and in [env_vars] too; the value of [env_vars] is used", name));
  if (request.has_code()) {
    auto built = co_await build(request, function, row, progress);
    if (!built) co_return std::unexpected(built.error());
    artifact = std::move(*built);
  }
  // Sealed after the build, which may take minutes: with the values of now.
  auto sealed = seal_secrets(function.id, request.spec);
  if (!sealed) co_return fail_ship(row, sealed.error());
  row.language = artifact.language;
  row.size_bytes = static_cast<int64_t>(artifact.size_bytes);
  row.artifact_json = artifact_to_json(artifact);
  RevisionConfig config = make_config(function, row, request.spec, artifact, std::move(*sealed), progress);
  const json::object config_json = config.to_json();
  // Read back as edge will: what edge would refuse must not get into its snapshot.
  if (auto good = RevisionConfig::from_json(config_json); !good) co_return fail_ship(row, good.error());
  row.config_json = json::serialize(config_json);
  if (auto updated = store_.update_revision(row); !updated) co_return fail_ship(row, updated.error());
  if (auto verified = co_await verify(function, row, std::move(config), without, progress); !verified) co_return std::unexpected(verified.error());

  progress.stage("route", StageState::kBegin, 0);
  const TimePoint routing = loop_.now();
  if (auto activated = store_.activate(function.id, row.id); !activated) co_return fail_ship(row, activated.error());
  if (!co_await publish(function.id)) progress.warning("edge has not confirmed the new route yet; it takes it as soon as it is back");
  progress.stage("route", StageState::kDone, std::chrono::duration_cast<std::chrono::milliseconds>(loop_.now() - routing).count());
  auto stored = store_.find_revision(row.id);
  if (!stored) co_return platform_failed(stored.error());
  co_return stored->value_or(row);
}

Task<std::expected<void, ShipFailure>> Deployer::verify(const FunctionRow& function, RevisionRow& row, RevisionConfig config, WithoutEdge without, ShipProgress& progress) {
  if (without == WithoutEdge::kActivate && !watch_.connected()) co_return std::expected<void, ShipFailure>{};
  progress.stage("start", StageState::kBegin, 0);
  const TimePoint deadline = loop_.now() + std::chrono::milliseconds(config.start_timeout_ms) + kVerifySlack;
  auto verified = co_await watch_.verify(function.id, std::move(config), deadline);
  if (!verified) {
    if (without == WithoutEdge::kActivate && verified.error().code() == ErrorCode::kUnavailable) co_return std::expected<void, ShipFailure>{};
    co_return fail_ship(row, verified.error());
  }
  if (!verified->ok) {
    fail_revision(row, verified->phase + ": " + verified->message);
    co_return ship_failed("start_failed", 422, verified->phase, verified->message);
  }
  progress.stage("start", StageState::kDone, verified->ms);
  co_return std::expected<void, ShipFailure>{};
}

Task<Result<void>> Deployer::rollback(FunctionRow function, std::string revision) {
  const Busy busy(busy_, function.name);
  if (!busy.mine()) co_return fail(ErrorCode::kConflict, "another change of `{}` is under way", function.name);
  CO_TRY_ASSIGN(const auto rows, store_.revisions(function.id));
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const RevisionRow& r) {
    return r.id.str() == revision || r.tag == revision || std::to_string(r.number) == revision;
  });
  if (found == rows.end()) co_return fail(ErrorCode::kNotFound, "`{}` has no revision `{}`; `skerry revisions {}` lists them", function.name, revision, function.name);
  if (found->state != RevisionState::kReady) co_return fail(ErrorCode::kConflict, "revision `{}` never became ready: {}", revision, found->error);
  CO_TRY(store_.activate(function.id, found->id));
  (void)co_await publish(function.id);
  co_await renew_if_stale(function.id, function.name);
  co_return Result<void>{};
}

Task<Result<void>> Deployer::remove(FunctionRow function) {
  const Busy busy(busy_, function.name);
  if (!busy.mine()) co_return fail(ErrorCode::kConflict, "another change of `{}` is under way", function.name);
  CO_TRY(store_.remove_function(function.id));
  (void)co_await publish(function.id);
  stale_.erase(function.name);
  co_return Result<void>{};
}

namespace {
class QuietProgress final : public ShipProgress {
 public:
  void accepted(const FunctionRow&, const RevisionRow&) override {}
  void stage(std::string_view, StageState, int64_t) override {}
  void log(std::string_view, std::string_view) override {}
  void warning(std::string_view) override {}
};
}  // namespace

Task<std::expected<void, ShipFailure>> Deployer::renew(FunctionRow function) {
  auto active = store_.find_revision(function.active);
  if (!active) co_return platform_failed(active.error());
  if (!*active) co_return std::expected<void, ShipFailure>{};  // nothing in traffic: its first ship takes the secrets
  auto spec_json = json::parse((*active)->spec_json);
  // The caps were checked when it was shipped; an operator who lowered them since does not break it here.
  auto spec = spec_json ? FunctionSpec::from_json(*spec_json, SpecCaps{INT32_MAX, INT32_MAX, INT32_MAX, std::nullopt}) : pass(std::move(spec_json).error());
  if (!spec) co_return platform_failed(spec.error());
  ShipRequest request;
  request.name = function.name;
  request.spec = std::move(*spec);
  request.language = (*active)->language;
  QuietProgress quiet;
  auto shipped = co_await ship_locked(std::move(request), function, WithoutEdge::kActivate, quiet);
  if (!shipped) {
    logger_.warn("a function could not take a changed secret", {{"function", function.name}, {"error", shipped.error().message}});
    co_return std::unexpected(shipped.error());
  }
  co_return std::expected<void, ShipFailure>{};
}

Task<void> Deployer::renew_if_stale(FunctionId id, std::string name) {
  while (stale_.erase(name) > 0) {  // once for each secret that was set meanwhile at most
    auto function = store_.find_function(id.str());
    if (function && *function) (void)co_await renew(std::move(**function));
  }
}

Task<Result<SecretRollout>> Deployer::redeploy_for_secret(std::string name, FunctionId only, SecretChange change) {
  SecretRollout rollout;
  CO_TRY_ASSIGN(const auto functions, store_.functions());
  for (const FunctionRow& listed : functions) {
    if (!only.empty() && listed.id != only) continue;
    // Read again: earlier functions of this list took their time.
    CO_TRY_ASSIGN(const auto function, store_.find_function(listed.id.str()));
    if (!function) continue;
    const Busy busy(busy_, function->name);
    if (!busy.mine()) {
      stale_.insert(function->name);  // whoever changes it renews it afterwards
      rollout.redeployed.push_back(function->name);
      continue;
    }
    CO_TRY_ASSIGN(const auto active, store_.find_revision(function->active));
    if (!active) continue;
    CO_TRY_ASSIGN(const json::value spec_json, json::parse(active->spec_json));
    CO_TRY_ASSIGN(const FunctionSpec spec, FunctionSpec::from_json(spec_json, SpecCaps{INT32_MAX, INT32_MAX, INT32_MAX, std::nullopt}));
    if (spec.secrets && (change == SecretChange::kRemoved || std::none_of(spec.secrets->begin(), spec.secrets->end(), [&](const auto& s) { return s.second == name; })))
      continue;
    auto renewed = co_await renew(*function);
    co_await renew_if_stale(function->id, function->name);
    if (renewed) rollout.redeployed.push_back(function->name);
    else rollout.failed.emplace_back(function->name, renewed.error().message);
  }
  co_return rollout;
}

}  // namespace skerry
