#include "gateway/spec.h"

#include <algorithm>

namespace skerry {
namespace {

constexpr const char* kLanguages[] = {"", "python", "node", "go", "java", "image"};
// Not served yet: accepted from a manifest with a warning by the client, so they may stand in a request.
constexpr const char* kIgnored[] = {"kv", "api_binding"};

// SECURITY: the path is written into a request's head; a line break in it would add headers or requests of the tenant's.
bool is_not_for_a_path(char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; }

Result<void> read_env(const json::object& env, FunctionSpec& spec) {
  if (env.size() > limits::kEnvVars) return fail(ErrorCode::kInvalidArgument, "`config.env` has {} variables, the limit is {}", env.size(), limits::kEnvVars);
  for (const auto& entry : env) {
    const std::string name(entry.key());
    if (!is_env_name(name)) return fail(ErrorCode::kInvalidArgument, "`config.env.{}` is not a variable name ([A-Za-z_][A-Za-z0-9_]*)", name.substr(0, 64));
    if (is_reserved_env_name(name)) return fail(ErrorCode::kInvalidArgument, "`config.env.{}` is set by the platform (PORT, SKERRY_*, K_*)", name);
    if (!entry.value().is_string()) return fail(ErrorCode::kInvalidArgument, "`config.env.{}` must be a string", name);
    const std::string value(entry.value().get_string());
    if (value.size() > limits::kEnvValueBytes || value.find('\0') != std::string::npos)
      return fail(ErrorCode::kInvalidArgument, "`config.env.{}` is longer than {} bytes or has a NUL byte", name, limits::kEnvValueBytes);
    spec.env.emplace_back(name, value);
  }
  return {};
}

Result<void> read_secrets(const json::array& list, FunctionSpec& spec) {
  spec.secrets.emplace();
  for (const json::value& item : list) {
    json::ObjectReader r(item, "config.secrets");
    const std::string name = r.string("name", limits::kSecretNameBytes);
    const std::string binding = r.string("binding", limits::kSecretNameBytes, name);
    if (!is_env_name(name)) r.refuse("name", "is missing or not a variable name");
    if (!is_env_name(binding)) r.refuse("binding", "is not a variable name");
    if (is_reserved_env_name(name)) r.refuse("name", "is set by the platform (PORT, SKERRY_*, K_*)");
    if (is_reserved_env_name(binding)) r.refuse("binding", "is set by the platform (PORT, SKERRY_*, K_*)");
    TRY(r.finish());
    for (const auto& [other_binding, other_name] : *spec.secrets)
      if (binding == other_binding && name != other_name) return fail(ErrorCode::kInvalidArgument, "`config.secrets`: the binding `{}` is given to two secrets", binding);
    spec.secrets->emplace_back(binding, name);
  }
  return {};
}

Result<void> read_egress(const json::value& v, const SpecCaps& caps, EgressPolicy& policy) {
  json::ObjectReader r(v, "config.egress");
  for (const auto& [key, list] : {std::pair{"allow", &policy.allow}, std::pair{"deny", &policy.deny}}) {
    const std::string where = fmt::format("`config.egress.{}`", key);
    const bool named = r.list(key, kMaxEgressRules) != nullptr;
    for (const std::string& text : r.strings(key, kMaxEgressRules, kMaxEgressTextBytes)) {
      TRY_ASSIGN(const EgressRule rule, read_egress_rule(text), where);
      if (list == &policy.allow && caps.open) TRY(check_egress_allow(rule, *caps.open), where);
      list->push_back(rule);
    }
    if (named && list->empty() && list == &policy.allow) r.refuse(key, "is empty: leave it out to reach the internet, deny `0.0.0.0/0` to reach nothing");
  }
  TRY(r.finish());
  policy.normalise();
  return {};
}

json::value egress_json(const EgressPolicy& policy) {
  if (policy.empty()) return nullptr;
  json::object out;
  for (const auto& [key, list] : {std::pair{"allow", &policy.allow}, std::pair{"deny", &policy.deny}}) {
    if (list->empty()) continue;
    json::array texts;
    for (const EgressRule& rule : *list) texts.emplace_back(rule.text());
    out[key] = std::move(texts);
  }
  return out;
}

}  // namespace

bool is_env_name(std::string_view name) {
  if (name.empty() || name.size() > limits::kEnvNameBytes || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; });
}

bool is_reserved_env_name(std::string_view name) { return name == "PORT" || name.starts_with("SKERRY_") || name.starts_with("K_"); }

Result<FunctionSpec> FunctionSpec::from_json(const json::value& v, const SpecCaps& caps) {
  json::ObjectReader r(v, "config");
  FunctionSpec s;
  if (const json::object* env = r.child("env")) TRY(read_env(*env, s));
  if (const json::array* list = r.list("secrets", limits::kSecrets)) TRY(read_secrets(*list, s));
  s.memory_mb = r.integer("memory_mb", limits::kMinMemoryMb, caps.max_memory_mb, limits::kMemoryMb);
  s.scratch_mb = r.integer("scratch_mb", 0, caps.max_scratch_mb, 0);
  if (s.scratch_mb != 0 && s.scratch_mb < limits::kMinScratchMb) r.refuse("scratch_mb", fmt::format("is {}, must be 0 (memory) or from {} to {}", s.scratch_mb, limits::kMinScratchMb, caps.max_scratch_mb));
  s.cpu_millis = r.integer("cpu_millis", limits::kMinCpuMillis, limits::kMaxCpuMillis, limits::kCpuMillis);
  s.timeout_ms = r.integer("timeout_ms", 1, caps.max_timeout_ms, limits::kTimeoutMs);
  s.start_timeout_ms = r.integer("start_timeout_ms", 1, limits::kMaxStartTimeoutMs, limits::kStartTimeoutMs);
  s.idle_timeout_ms = r.integer("idle_timeout_ms", 0, limits::kMaxIdleTimeoutMs, limits::kIdleTimeoutMs);
  s.concurrency = r.integer("concurrency", 1, limits::kMaxConcurrency, 1);
  s.max_instances = r.integer("max_instances", 1, limits::kMaxMaxInstances, limits::kMaxInstances);
  s.min_instances = r.integer("min_instances", 0, s.max_instances, 0);
  s.background = r.boolean("background", false);
  s.entrypoint = r.strings("entrypoint", 64, 4096);
  s.build_command = r.string("build_command", 4096);
  const auto has_nul = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  if (std::any_of(s.entrypoint.begin(), s.entrypoint.end(), has_nul)) r.refuse("entrypoint", "has a NUL byte");
  if (!s.entrypoint.empty() && s.entrypoint.front().empty()) r.refuse("entrypoint", "begins with an empty string");
  if (has_nul(s.build_command)) r.refuse("build_command", "has a NUL byte");
  if (r.any("health_path") != nullptr) {
    s.health_path = r.string("health_path", 1024);
    if (!s.health_path->empty() && (!s.health_path->starts_with('/') || std::any_of(s.health_path->begin(), s.health_path->end(), is_not_for_a_path)))
      r.refuse("health_path", "must begin with / and have no space or control character");
  }
  if (const json::value* egress = r.any("egress")) TRY(read_egress(*egress, caps, s.egress));
  for (const char* key : kIgnored) (void)r.any(key);
  TRY(r.finish());
  return s;
}

json::object FunctionSpec::to_json() const {
  json::object env_object;
  for (const auto& [name, value] : env) env_object[name] = value;
  json::value secret_list = nullptr;
  if (secrets) {
    json::array list;
    for (const auto& [binding, name] : *secrets) list.push_back(json::object{{"binding", binding}, {"name", name}});
    secret_list = std::move(list);
  }
  json::array entry;
  for (const std::string& part : entrypoint) entry.emplace_back(part);
  return {{"env", std::move(env_object)},
          {"secrets", std::move(secret_list)},
          {"memory_mb", memory_mb},
          {"scratch_mb", scratch_mb},
          {"cpu_millis", cpu_millis},
          {"timeout_ms", timeout_ms},
          {"start_timeout_ms", start_timeout_ms},
          {"idle_timeout_ms", idle_timeout_ms},
          {"concurrency", concurrency},
          {"min_instances", min_instances},
          {"max_instances", max_instances},
          {"background", background},
          {"entrypoint", entry.empty() ? json::value(nullptr) : json::value(std::move(entry))},
          {"health_path", health_path ? json::value(*health_path) : json::value(nullptr)},
          {"build_command", build_command.empty() ? json::value(nullptr) : json::value(build_command)},
          {"egress", egress_json(egress)}};
}

Result<ShipRequest> ShipRequest::from_json(const json::value& v, const SpecCaps& caps) {
  json::ObjectReader r(v, "");
  ShipRequest request;
  if (const json::value* function = r.any("function")) {
    json::ObjectReader f(*function, "function");
    request.name = f.string("name", 256);
    request.id_hint = f.string("id_hint", 128);
    TRY(f.finish());
  }
  if (!is_function_name(request.name))
    return fail(ErrorCode::kInvalidArgument, "`function.name` `{}` must be 1 to 40 of a-z, 0-9 and -, begin with a letter, and have no `--`", request.name.substr(0, 60));
  if (const json::value* source = r.any("source")) {
    json::ObjectReader s(*source, "source");
    const std::string upload = s.string("upload", 80), image = s.string("image", ImageReference::kMaxBytes);
    TRY(s.finish());
    if (!image.empty() && !upload.empty()) return fail(ErrorCode::kInvalidArgument, "`source` has both `upload` and `image`");
    if (!image.empty()) {
      TRY_ASSIGN(request.image, ImageReference::parse(image), "`source.image`");
    } else {
      TRY_ASSIGN(request.upload, Digest::parse(upload), "`source.upload`");
    }
  }
  request.language = r.string("language", 16);
  if (std::find(std::begin(kLanguages), std::end(kLanguages), request.language) == std::end(kLanguages))
    return fail(ErrorCode::kInvalidArgument, "`language` `{}` is none of python, node, go, java, image", request.language);
  if (request.image && request.language.empty()) request.language = "image";
  if (request.image && request.language != "image") return fail(ErrorCode::kInvalidArgument, "`source.image` is for the language image, not {}", request.language);
  request.version = r.string("version", 16);
  if (const json::value* config = r.any("config")) {
    TRY_ASSIGN(request.spec, FunctionSpec::from_json(*config, caps));
  }
  TRY(r.finish());
  return request;
}

}  // namespace skerry
