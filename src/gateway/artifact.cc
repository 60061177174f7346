#include "gateway/artifact.h"

namespace skerry {

std::string artifact_to_json(const BuildResult& a) {
  json::array layers, argv, env;
  for (const Digest& layer : a.layers) layers.emplace_back(layer.str());
  for (const std::string& s : a.argv) argv.emplace_back(s);
  for (const std::string& s : a.env) env.emplace_back(s);
  return json::serialize(json::object{{"layers", std::move(layers)},
                                      {"argv", std::move(argv)},
                                      {"env", std::move(env)},
                                      {"transport", a.transport == Transport::kTcp ? "tcp" : "unix"},
                                      {"port", a.port},
                                      {"health_path", a.health_path},
                                      {"runtime_layers", a.runtime_layers},
                                      {"language", a.language},
                                      {"version", a.version},
                                      {"size_bytes", a.size_bytes},
                                      {"image", a.image}});
}

Result<BuildResult> artifact_from_json(std::string_view text) {
  TRY_ASSIGN(const json::value v, json::parse(text), "stored artifact");
  json::ObjectReader r(v, "artifact");
  BuildResult a;
  for (const std::string& layer : r.strings("layers", kMaxLayers, 80)) {
    TRY_ASSIGN(Digest digest, Digest::parse(layer));
    a.layers.push_back(std::move(digest));
  }
  a.argv = r.strings("argv", kMaxArguments, kMaxStringBytes);
  a.env = r.strings("env", kMaxEnvironment, kMaxStringBytes);
  a.transport = r.string("transport", 8) == "tcp" ? Transport::kTcp : Transport::kUnix;
  a.port = static_cast<uint16_t>(r.integer("port", 1, 65535, 8080));
  a.health_path = r.string("health_path", 1024);
  a.runtime_layers = r.integer("runtime_layers", 0, kMaxLayers, 0);
  a.language = r.string("language", 16);
  a.version = r.string("version", 16);
  a.size_bytes = static_cast<uint64_t>(r.integer("size_bytes", 0, INT64_MAX, 0));
  a.image = r.string("image", ImageReference::kMaxBytes);
  TRY(r.finish());
  return a;
}

}  // namespace skerry
