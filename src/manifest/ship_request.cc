#include "manifest/ship_request.h"

namespace skerry::manifest {
namespace {

json::array strings(const std::vector<std::string>& list) {
  json::array out;
  for (const std::string& s : list) out.emplace_back(s);
  return out;
}

void put(json::object& out, std::string_view key, const std::optional<int64_t>& value) {
  if (value) out[key] = *value;
}
void put(json::object& out, std::string_view key, const std::optional<std::string>& value) {
  if (value) out[key] = *value;
}

json::object config_of(const Manifest& m) {
  json::object config;
  json::object env;
  for (const auto& [name, value] : m.env) env[name] = value;
  config["env"] = std::move(env);
  if (m.secrets) {
    json::array secrets;
    for (const SecretBinding& s : *m.secrets)
      secrets.push_back(json::object{{"binding", s.binding}, {"name", s.name}});
    config["secrets"] = std::move(secrets);
  } else {
    config["secrets"] = nullptr;
  }
  const Runtime& r = m.runtime;
  put(config, "memory_mb", r.memory_mb);
  put(config, "cpu_millis", r.cpu_millis);
  put(config, "timeout_ms", r.timeout_ms);
  put(config, "concurrency", r.concurrency);
  put(config, "min_instances", r.min_instances);
  put(config, "max_instances", r.max_instances);
  put(config, "idle_timeout_ms", r.idle_timeout_ms);
  put(config, "start_timeout_ms", r.start_timeout_ms);
  put(config, "scratch_mb", r.scratch_mb);
  if (r.background) config["background"] = *r.background;
  if (r.entrypoint) config["entrypoint"] = strings(*r.entrypoint);
  put(config, "health_path", m.health_path);
  put(config, "build_command", m.build_command);
  if (m.egress) {
    json::object egress;
    if (!m.egress->allow.empty()) egress["allow"] = strings(m.egress->allow);
    if (!m.egress->deny.empty()) egress["deny"] = strings(m.egress->deny);
    config["egress"] = std::move(egress);
  }
  json::object kv;
  for (const auto& [binding, id] : m.kv) kv[binding] = json::object{{"id", id}};
  config["kv"] = std::move(kv);
  put(config, "api_binding", m.api_binding);
  return config;
}

}  // namespace

json::object ship_request(const Manifest& manifest, const Source& source) {
  json::object function{{"name", manifest.func_name}};
  if (!manifest.func_id.empty()) function["id_hint"] = manifest.func_id;
  json::object out;
  out["function"] = std::move(function);
  if (const auto* upload = std::get_if<UploadSource>(&source))
    out["source"] = json::object{{"upload", upload->digest}};
  else if (const auto* image = std::get_if<ImageSource>(&source))
    out["source"] = json::object{{"image", image->reference}};
  else
    out["source"] = nullptr;
  if (manifest.runtime.language) out["language"] = to_string(*manifest.runtime.language);
  if (manifest.runtime.version) out["version"] = *manifest.runtime.version;
  out["config"] = config_of(manifest);
  return out;
}

}  // namespace skerry::manifest
