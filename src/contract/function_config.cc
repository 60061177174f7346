#include "contract/function_config.h"

#include <algorithm>

namespace skerry {
namespace {

constexpr size_t kMaxRoutes = 300;       // one a kept revision, the function's own, custom domains
constexpr size_t kMaxTargets = 16;
constexpr size_t kMaxSealedBytes = 3U << 20;  // 100 secrets of 10 KB, sealed, in base64

json::array to_array(const std::vector<std::string>& strings) {
  json::array out;
  for (const std::string& s : strings) out.emplace_back(s);
  return out;
}

json::array to_array(const std::vector<EgressRule>& rules) {
  json::array out;
  for (const EgressRule& rule : rules) out.emplace_back(rule.text());
  return out;
}

Result<EgressPolicy> read_egress(json::ObjectReader& r) {
  EgressPolicy policy;
  for (const auto& [key, list] : {std::pair{"egress_allow", &policy.allow}, std::pair{"egress_deny", &policy.deny}}) {
    for (const std::string& text : r.strings(key, kMaxEgressRules, kMaxEgressTextBytes)) {
      TRY_ASSIGN(const EgressRule rule, read_egress_rule(text), key);
      list->push_back(rule);
    }
  }
  policy.normalise();
  return policy;
}

}  // namespace

bool is_function_name(std::string_view name) {
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (name.empty() || name.size() > limits::kFunctionNameBytes || !letter(name.front()) || name.back() == '-') return false;
  if (name.find("--") != std::string_view::npos) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || digit(c) || c == '-'; });
}

json::object RevisionConfig::to_json() const {
  json::array layer_list;
  for (const Digest& layer : layers) layer_list.emplace_back(layer.str());
  return {{"id", id.str()},
          {"tag", tag},
          {"number", number},
          {"layers", std::move(layer_list)},
          {"argv", to_array(argv)},
          {"env", to_array(env)},
          {"transport", transport == Transport::kUnix ? "unix" : "tcp"},
          {"port", port},
          {"runtime_layers", runtime_layers},
          {"memory_bytes", limits.memory_bytes},
          {"scratch_bytes", limits.scratch_bytes},
          {"scratch", limits.scratch == Scratch::kDisk ? "disk" : "memory"},
          {"cpu_millis", limits.cpu_millis},
          {"max_processes", limits.max_processes},
          {"max_open_files", limits.max_open_files},
          {"timeout_ms", timeout_ms},
          {"start_timeout_ms", start_timeout_ms},
          {"idle_timeout_ms", idle_timeout_ms},
          {"concurrency", concurrency},
          {"min_instances", min_instances},
          {"max_instances", max_instances},
          {"background", background},
          {"health_path", health_path},
          {"egress_allow", to_array(egress.allow)},
          {"egress_deny", to_array(egress.deny)},
          {"sealed_secrets", sealed_secrets}};
}

Result<RevisionConfig> RevisionConfig::from_json(const json::value& v) {
  json::ObjectReader r(v, "revision");
  RevisionConfig c;
  c.id = RevisionId(r.string("id", 64));
  c.tag = r.string("tag", 16);
  c.number = r.integer("number", 0, INT64_MAX, 0);
  for (const std::string& layer : r.strings("layers", kMaxLayers, 80)) {
    TRY_ASSIGN(Digest digest, Digest::parse(layer), "revision.layers");
    c.layers.push_back(std::move(digest));
  }
  c.argv = r.strings("argv", kMaxArguments, kMaxStringBytes);
  c.env = r.strings("env", kMaxEnvironment, kMaxStringBytes);
  const std::string transport = r.string("transport", 8, "unix");
  if (transport != "unix" && transport != "tcp") r.refuse("transport", "must be `unix` or `tcp`");
  c.transport = transport == "tcp" ? Transport::kTcp : Transport::kUnix;
  c.port = static_cast<uint16_t>(r.integer("port", 1, 65535, 8080));
  c.runtime_layers = r.integer("runtime_layers", 0, kMaxLayers, 0);
  c.limits.memory_bytes = static_cast<uint64_t>(r.integer("memory_bytes", 16LL << 20, int64_t{kMaxMemoryBytes}, 256LL << 20));
  c.limits.scratch_bytes = static_cast<uint64_t>(r.integer("scratch_bytes", 4096, int64_t{kMaxScratchBytes}, 128LL << 20));
  const std::string scratch = r.string("scratch", 8, "memory");
  if (scratch != "memory" && scratch != "disk") r.refuse("scratch", "must be `memory` or `disk`");
  c.limits.scratch = scratch == "disk" ? Scratch::kDisk : Scratch::kMemory;
  c.limits.cpu_millis = static_cast<uint32_t>(r.integer("cpu_millis", 10, kMaxCpuMillis, 1000));
  c.limits.max_processes = static_cast<uint32_t>(r.integer("max_processes", 2, kMaxProcesses, 1024));
  c.limits.max_open_files = static_cast<uint32_t>(r.integer("max_open_files", 16, kMaxOpenFiles, 4096));
  c.timeout_ms = r.integer("timeout_ms", 1, 3'600'000, limits::kTimeoutMs);
  c.start_timeout_ms = r.integer("start_timeout_ms", 1, 3'600'000, limits::kStartTimeoutMs);
  c.idle_timeout_ms = r.integer("idle_timeout_ms", 0, INT64_C(86'400'000), limits::kIdleTimeoutMs);
  c.concurrency = r.integer("concurrency", 1, limits::kMaxConcurrency, 1);
  c.min_instances = r.integer("min_instances", 0, limits::kMaxMaxInstances, 0);
  c.max_instances = r.integer("max_instances", 1, limits::kMaxMaxInstances, limits::kMaxInstances);
  c.background = r.boolean("background", false);
  c.health_path = r.string("health_path", 1024);
  TRY_ASSIGN(c.egress, read_egress(r), "revision");
  c.sealed_secrets = r.string("sealed_secrets", kMaxSealedBytes);
  if (c.id.empty()) r.refuse("id", "is missing");
  if (c.layers.empty()) r.refuse("layers", "is empty");
  if (c.argv.empty()) r.refuse("argv", "is empty");
  if (c.runtime_layers > static_cast<int64_t>(c.layers.size()) || (c.runtime_layers > 0 && c.transport != Transport::kUnix))
    r.refuse("runtime_layers", "are more than all, or not of a shim");
  TRY(r.finish());
  return c;
}

StartPlan RevisionConfig::plan(const InstanceId& instance) const {
  StartPlan plan;
  plan.id = instance.str();
  plan.label = id.str();
  plan.kind = PlanKind::kInstance;
  plan.layers = layers;
  plan.argv = argv;
  plan.env = env;
  std::erase_if(plan.env, [](const std::string& entry) { return entry.starts_with("SKERRY_INSTANCE="); });  // an image's, of another time
  plan.env.push_back("SKERRY_INSTANCE=" + instance.str());
  plan.hostname = "i-" + instance.str().substr(14);
  // The author's own wins (CONTRACT section 3), and each name is there once.
  if (std::none_of(env.begin(), env.end(), [](const std::string& entry) { return entry.starts_with("HOSTNAME="); })) plan.env.push_back("HOSTNAME=" + plan.hostname);
  plan.cwd = "/app";
  plan.transport = transport;
  plan.port = transport == Transport::kTcp ? port : uint16_t{0};
  plan.network = Network::kInternet;
  plan.runtime_layers = static_cast<uint8_t>(runtime_layers);
  plan.has_secrets = !sealed_secrets.empty();
  plan.limits = limits;
  plan.egress = egress;
  return plan;
}

json::object FunctionConfig::to_json() const {
  json::array route_list, revision_list;
  for (const Route& route : routes) {
    json::array targets;
    for (const auto& [revision, weight] : route.targets) targets.push_back(json::object{{"revision", revision.str()}, {"weight", weight}});
    route_list.push_back(json::object{{"host", route.host}, {"targets", std::move(targets)}});
  }
  for (const RevisionConfig& revision : revisions) revision_list.push_back(revision.to_json());
  return {{"id", id.str()}, {"org", org.str()}, {"name", name}, {"routes", std::move(route_list)}, {"revisions", std::move(revision_list)}};
}

Result<FunctionConfig> FunctionConfig::from_json(const json::value& v) {
  json::ObjectReader r(v, "function");
  FunctionConfig c;
  c.id = FunctionId(r.string("id", 64));
  c.org = OrgId(r.string("org", 64));
  c.name = r.string("name", limits::kFunctionNameBytes);
  if (const json::array* list = r.list("revisions", limits::kRevisionsKept + 1)) {
    for (const json::value& item : *list) {
      TRY_ASSIGN(RevisionConfig revision, RevisionConfig::from_json(item), "function.revisions");
      c.revisions.push_back(std::move(revision));
    }
  }
  const auto known = [&](const RevisionId& id) {
    return std::any_of(c.revisions.begin(), c.revisions.end(), [&](const RevisionConfig& x) { return x.id == id; });
  };
  if (const json::array* list = r.list("routes", kMaxRoutes)) {
    for (const json::value& item : *list) {
      json::ObjectReader route_reader(item, "function.routes");
      Route route;
      route.host = route_reader.string("host", 253);
      if (const json::array* targets = route_reader.list("targets", kMaxTargets)) {
        for (const json::value& target : *targets) {
          json::ObjectReader t(target, "function.routes.targets");
          RevisionId id(t.string("revision", 64));
          const auto weight = static_cast<uint32_t>(t.integer("weight", 0, 1'000'000, 1));
          if (!known(id)) t.refuse("revision", "names a revision that is not in this function");
          TRY(t.finish());
          route.targets.emplace_back(std::move(id), weight);
        }
      }
      if (route.host.empty() || route.targets.empty()) route_reader.refuse("host", "or its targets are empty");
      TRY(route_reader.finish());
      c.routes.push_back(std::move(route));
    }
  }
  if (c.id.empty() || !is_function_name(c.name)) r.refuse("name", "or the id is missing or malformed");
  TRY(r.finish());
  return c;
}

}  // namespace skerry
