#include "build/registry_settings.h"

#include <map>

#include "json/json.h"
#include "os/file.h"

namespace skerry {
namespace {

constexpr size_t kMaxAuthBytes = 1U << 20;
constexpr size_t kMaxCaBytes = 8U << 20;

// "https://registry.example/v1/" and "registry.example" are the same registry in that file.
std::string_view host_of(std::string_view key) {
  if (const size_t scheme = key.find("://"); scheme != std::string_view::npos) key.remove_prefix(scheme + 3);
  return key.substr(0, key.find('/'));
}

using Auths = std::map<std::string, json::object, std::less<>>;

Result<Auths> read_auths(const std::string& path) {
  Auths out;
  if (path.empty()) return out;
  auto text = read_file(path, kMaxAuthBytes);
  if (!text) return fail(ErrorCode::kUnavailable, "[registries] auth_file in the daemon's configuration: {}", text.error().message());
  const auto parsed = json::parse(*text);
  const json::object* object = parsed ? parsed->if_object() : nullptr;
  const json::value* auths = object != nullptr ? object->if_contains("auths") : nullptr;
  if (auths == nullptr || !auths->is_object()) return fail(ErrorCode::kUnavailable, "[registries] auth_file in the daemon's configuration: `{}` has no object `auths`", path);
  for (const auto& [key, entry] : auths->get_object()) {
    if (!entry.is_object()) continue;
    json::object kept;
    for (const char* field : {"auth", "username", "password"})
      if (const json::value* value = entry.get_object().if_contains(field); value != nullptr && value->is_string()) kept[field] = *value;
    if (!kept.empty()) out[std::string(host_of(key))] = std::move(kept);
  }
  return out;
}

}  // namespace

Result<std::string> registry_orders(const RegistrySettings& settings, const ImageReference& reference) {
  std::string endpoint = reference.registry, repository = reference.repository;
  json::array named, plain;
  for (const auto& [registry, target] : settings.mirrors) {
    const std::string host(host_of(target));
    named.emplace_back(host);
    if (registry != reference.registry) continue;
    endpoint = host;
    repository = target.substr(std::min(target.size(), host.size() + 1)) + (target.size() > host.size() + 1 ? "/" : "") + reference.repository;
  }
  for (const std::string& host : settings.plain_http) {
    plain.emplace_back(host);
    named.emplace_back(host);
  }
  TRY_ASSIGN(const Auths auths, read_auths(settings.auth_file));
  for (const auto& [host, entry] : auths) named.emplace_back(host);
  json::object out{{"endpoint", endpoint}, {"repository", repository}, {"tag", reference.tag}, {"plain_http", std::move(plain)}, {"named", std::move(named)}};
  if (reference.digest) out["digest"] = reference.digest->str();
  if (const auto found = auths.find(endpoint); found != auths.end()) out["auth"] = found->second;
  if (!settings.ca_file.empty()) {
    auto pem = read_file(settings.ca_file, kMaxCaBytes);
    if (!pem) return fail(ErrorCode::kUnavailable, "[registries] ca_file in the daemon's configuration: {}", pem.error().message());
    out["ca"] = std::move(*pem);
  }
  return json::serialize(out);
}

}  // namespace skerry
