#include "daemon/config.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <set>

#include "manifest/tomlpp.h"
#include "os/file.h"
#include "os/tcp.h"

namespace skerry {
namespace {

constexpr size_t kMaxConfigBytes = 1 << 20;
constexpr size_t kMaxResolvers = 3;
constexpr uint16_t kDnsPort = 53;

// Reads one table key by key and remembers the first complaint.
class TableReader {
 public:
  TableReader(const toml::table& table, std::string where, std::string& error, const std::string& file)
      : table_(table), where_(std::move(where)), error_(error), file_(file) {}

  void string(const char* key, std::string& out) {
    if (const toml::node* node = take(key); node != nullptr) {
      if (const auto value = node->value_exact<std::string>()) out = *value;
      else complain(*node, key, "must be a string");
    }
  }
  template <typename T>
  void integer(const char* key, T& out, int64_t min, int64_t max) {
    if (const toml::node* node = take(key); node != nullptr) {
      const auto value = node->value_exact<int64_t>();
      if (!value) complain(*node, key, "must be a whole number");
      else if (*value < min || *value > max) complain(*node, key, fmt::format("is {}, must be from {} to {}", *value, min, max));
      else out = static_cast<T>(*value);
    }
  }
  void fraction(const char* key, double& out) {
    if (const toml::node* node = take(key); node != nullptr) {
      const auto value = node->value<double>();
      if (!value || !(*value >= 0 && *value <= 1)) complain(*node, key, "must be a number from 0 to 1");
      else out = *value;
    }
  }
  void strings(const char* key, std::vector<std::string>& out) {
    const toml::node* node = take(key);
    if (node == nullptr) return;
    const toml::array* list = node->as_array();
    if (list == nullptr) return complain(*node, key, "must be a list of strings");
    out.clear();
    for (const toml::node& item : *list) {
      const auto value = item.value_exact<std::string>();
      if (!value) return complain(item, key, "must be a list of strings");
      out.push_back(*value);
    }
  }
  // Addresses of servers, with a port or without.
  void endpoints(const char* key, uint16_t default_port, size_t max, std::vector<std::string>& out) {
    strings(key, out);
    const toml::node* node = table_.get(key);
    if (node == nullptr) return;
    if (out.size() > max) complain(*node, key, fmt::format("has {} entries, at most {}", out.size(), max));
    for (const std::string& text : out)
      if (const auto parsed = parse_endpoint(text, default_port); !parsed) complain(*node, key, parsed.error().message());
  }
  // Closed ranges that functions may name; `containers` is the subnet that is never one.
  void open_ranges(const char* key, std::string_view containers, std::vector<EgressRule>& out) {
    std::vector<std::string> list;
    strings(key, list);
    auto open = read_egress_open(list, containers);
    if (open) out = std::move(*open);
    else complain(*table_.get(key), key, open.error().message());
  }
  void pairs(const char* key, std::vector<std::pair<std::string, std::string>>& out) {
    const toml::node* node = take(key);
    if (node == nullptr) return;
    if (node->as_table() == nullptr) return complain(*node, key, "must be a table of strings");
    for (const auto& [name, item] : *node->as_table()) {
      const auto value = item.value_exact<std::string>();
      if (!value) return complain(item, key, "must be a table of strings");
      out.emplace_back(name.str(), *value);
    }
  }
  // A system user's name, or "uid:gid".
  void user(const char* key, ProcessUser& out) {
    std::string text;
    const toml::node* node = take(key);
    if (node == nullptr) return;
    if (const auto value = node->value_exact<std::string>()) text = *value;
    const size_t colon = text.find(':');
    if (colon != std::string::npos) {
      const auto number = [&](std::string_view part, uint32_t& into) {
        return std::from_chars(part.data(), part.data() + part.size(), into).ptr == part.data() + part.size() && !part.empty();
      };
      if (number(std::string_view(text).substr(0, colon), out.uid) && number(std::string_view(text).substr(colon + 1), out.gid)) return;
    } else if (const passwd* entry = ::getpwnam(text.c_str()); entry != nullptr) {
      out = {entry->pw_uid, entry->pw_gid};
      return;
    }
    complain(*node, key, fmt::format("`{}` is neither a user of this system nor uid:gid", text));
  }
  const toml::table* table(const char* key) {
    const toml::node* node = take(key);
    if (node == nullptr) return nullptr;
    if (node->as_table() == nullptr) complain(*node, key, "must be a table");
    return node->as_table();
  }
  void finish() {
    for (const auto& [key, node] : table_)
      if (!asked_.contains(std::string(key.str()))) complain(node, std::string(key.str()).c_str(), "is not a known key");
  }

 private:
  const toml::node* take(const char* key) {
    asked_.insert(key);
    return table_.get(key);
  }
  void complain(const toml::node& node, const char* key, std::string_view why) {
    if (error_.empty()) error_ = fmt::format("{} line {}: `{}{}` {}", file_, node.source().begin.line, where_, key, why);
  }

  const toml::table& table_;
  std::string where_;
  std::string& error_;
  const std::string& file_;
  std::set<std::string> asked_;
};

// The users that `make up` makes; where they are missing the process keeps root's id and skerryd refuses to start.
void default_user(const char* name, ProcessUser& out) {
  if (const passwd* entry = ::getpwnam(name); entry != nullptr) out = {entry->pw_uid, entry->pw_gid};
}

}  // namespace

Result<DaemonConfig> parse_config(const std::string& text, const std::string& name) {
  const toml::parse_result parsed = safe_toml::parse(text, name);
  if (!parsed) return fail(ErrorCode::kInvalidArgument, "{} line {}: {}", name, parsed.error().source().begin.line, parsed.error().description());
  DaemonConfig c;
  default_user("skerry-edge", c.edge);
  default_user("skerry-control", c.control);
  default_user("skerry-keeper", c.keeper);
  c.build_environment = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL",
                         "NPM_CONFIG_REGISTRY", "GOPROXY", "GONOSUMDB", "GOPRIVATE", "GOSUMDB"};
  std::string error;
  TableReader top(parsed.table(), "", error, name);
  top.string("domain", c.domain);
  top.string("location", c.location);
  top.string("listen", c.listen);
  top.string("state_dir", c.state_dir);
  top.string("run_dir", c.run_dir);
  top.string("images_dir", c.images_dir);
  top.string("shims_dir", c.shims_dir);
  top.string("program_dir", c.program_dir);
  top.string("tag", c.tag);
  top.string("subnet", c.subnet);
  top.integer("max_instances", c.max_instances, 1, 20'000);
  top.integer("spares", c.spares, 0, 32);
  top.fraction("access_log_sample", c.access_log_sample);
  if (const toml::table* ports = top.table("ports")) {
    TableReader r(*ports, "ports.", error, name);
    r.integer("https", c.https_port, 1, 65535);
    r.integer("http", c.http_port, 1, 65535);
    r.integer("api", c.api_port, 1, 65535);
    r.finish();
  }
  if (const toml::table* users = top.table("users")) {
    TableReader r(*users, "users.", error, name);
    r.user("edge", c.edge);
    r.user("control", c.control);
    r.user("keeper", c.keeper);
    r.finish();
  }
  if (const toml::table* limit_table = top.table("limits")) {
    TableReader r(*limit_table, "limits.", error, name);
    r.integer("memory_mb", c.max_memory_mb, 32, 1 << 20);
    r.integer("timeout_ms", c.max_timeout_ms, 1, 3'600'000);
    r.integer("scratch_mb", c.max_scratch_mb, 16, 1 << 20);
    r.integer("scratch_total_mb", c.max_scratch_total_mb, 16, 1 << 20);
    r.integer("free_disk_mb", c.free_disk_mb, 1, 1 << 20);
    r.integer("ships_per_hour", c.ships_per_hour, 1, 1'000'000);
    r.integer("bandwidth_mbit", c.bandwidth_mbit, 1, 100'000);
    r.finish();
  }
  if (const toml::table* egress = top.table("egress")) {
    TableReader r(*egress, "egress.", error, name);
    r.open_ranges("open", c.subnet, c.egress_open);
    r.finish();
  }
  if (const toml::table* build = top.table("build")) {
    TableReader r(*build, "build.", error, name);
    r.strings("sources", c.build_sources);
    r.strings("environment", c.build_environment);
    r.integer("memory_mb", c.build_memory_mb, 256, 1 << 20);
    r.integer("timeout_ms", c.build_timeout_ms, 1000, 7'200'000);
    r.finish();
  }
  if (const toml::table* registries = top.table("registries")) {
    TableReader r(*registries, "registries.", error, name);
    r.string("auth_file", c.registries.auth_file);
    r.string("ca_file", c.registries.ca_file);
    r.strings("plain_http", c.registries.plain_http);
    r.pairs("mirrors", c.registries.mirrors);
    r.finish();
  }
  if (const toml::table* dns = top.table("dns")) {
    TableReader r(*dns, "dns.", error, name);
    r.endpoints("resolvers", kDnsPort, kMaxResolvers, c.dns_resolvers);
    r.finish();
  }
  top.finish();
  if (!error.empty()) return fail(ErrorCode::kInvalidArgument, "{}", error);
  return c;
}

std::string ContainerNetwork::gateway_text() const {
  return fmt::format("{}.{}.{}.{}", gateway >> 24, (gateway >> 16) & 255, (gateway >> 8) & 255, gateway & 255);
}

Result<ContainerNetwork> container_network(const DaemonConfig& config) {
  constexpr std::string_view kPrefix = "/16";
  const std::string& text = config.subnet;
  in_addr parsed{};
  if (!text.ends_with(kPrefix) || ::inet_pton(AF_INET, text.substr(0, text.size() - kPrefix.size()).c_str(), &parsed) != 1)
    return fail(ErrorCode::kInvalidArgument, "subnet `{}` must be a.b.0.0/16", text);
  ContainerNetwork out;
  out.network = ntohl(parsed.s_addr);
  if ((out.network & ~out.mask) != 0) return fail(ErrorCode::kInvalidArgument, "subnet `{}` must be a.b.0.0/16", text);
  out.gateway = out.network + 1;
  return out;
}

std::string program_folder(const DaemonConfig& config) {
  if (!config.program_dir.empty()) return config.program_dir;
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path - 1);
  const std::string text(path, n > 0 ? static_cast<size_t>(n) : 0);
  return text.substr(0, text.rfind('/'));
}

Result<DaemonConfig> read_config(const std::string& path, ConfigFile file) {
  auto text = read_file(path, kMaxConfigBytes);
  if (!text && text.error().code() == ErrorCode::kNotFound && file == ConfigFile::kOptional) return parse_config("", path);
  if (!text) return pass(std::move(text).error(), "configuration");
  return parse_config(*text, path);
}

}  // namespace skerry
