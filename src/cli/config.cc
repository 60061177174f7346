#include "cli/config.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "manifest/settings.h"
#include "os/file.h"

namespace skerry::cli {
namespace {

constexpr std::string_view kKeys[] = {"url", "token", "ca"};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::string home_directory() {
  if (std::string home = environment("HOME"); !home.empty()) return home;
  const passwd* user = ::getpwuid(::getuid());
  return user == nullptr ? "/root" : user->pw_dir;
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + "\"";
}

}  // namespace

std::span<const std::string_view> config_keys() {
  return kKeys;
}

bool is_loopback_host(std::string_view host) {
  // SECURITY: "127.0.0.1.evil.example" is a name, not an address.
  in_addr v4{};
  if (::inet_pton(AF_INET, std::string(host).c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  return host == "localhost" || host.ends_with(".localhost") || host == "::1";
}

bool Endpoint::is_local() const {
  return kind == Kind::kUnix || is_loopback_host(host);
}

Outcome<Endpoint> parse_endpoint(std::string_view text) {
  Endpoint out;
  out.text = text;
  if (text.starts_with("unix:")) {
    std::string_view path = text.substr(5);
    if (path.starts_with("//")) path.remove_prefix(2);
    if (!path.starts_with('/'))
      return usage_error("`{}` is not a gateway: a unix socket is written unix:/run/skerry/control.sock",
                         text);
    out.socket_path = path;
    out.base_url = "http://localhost";
    return out;
  }
  const bool tls = text.starts_with("https://");
  if (!tls && !text.starts_with("http://"))
    return usage_error("`{}` is not a gateway: write https://host:8081 or unix:/run/skerry/control.sock",
                       text);
  std::string_view rest = text.substr(tls ? 8 : 7);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty() || rest.find_first_of("/?#@ ") != std::string_view::npos)
    return usage_error("`{}` is not a gateway: write https://host:8081, without a path", text);
  const bool bracket = rest.starts_with('[');
  const size_t end = bracket ? rest.find(']') : rest.find(':');
  out.host = bracket ? rest.substr(1, end == std::string_view::npos ? end : end - 1) : rest.substr(0, end);
  out.kind = tls ? Endpoint::Kind::kHttps : Endpoint::Kind::kHttp;
  out.base_url = fmt::format("{}://{}", tls ? "https" : "http", rest);
  // SECURITY: the token must not cross a network in the clear.
  if (!tls && !is_loopback_host(out.host))
    return usage_error("`{}` would send the token unencrypted; use https://, or http:// on loopback only",
                       text);
  return out;
}

Outcome<Config> load_config() {
  Config config;
  const std::string xdg = environment("XDG_CONFIG_HOME");
  config.directory = (xdg.starts_with('/') ? xdg : home_directory() + "/.config") + "/skerry";
  config.path = config.directory + "/config.toml";
  struct stat info{};
  if (::stat(config.path.c_str(), &info) == 0) {
    TRY_ASSIGN(const std::string text, read_file(config.path, kMaxConfigBytes));
    TRY_ASSIGN(config.file, manifest::parse_settings(text, config.path, kKeys));
    if ((info.st_mode & 077) != 0 && config.file.contains("token")) {
      config.warnings.push_back(fmt::format("`{}` holds a token and others can read it; run: chmod 600 {}",
                                            config.path, config.path));
    }
  }
  const auto choose = [&](const char* variable, const std::string& key, std::string& value,
                          std::string* from) {
    if (value = environment(variable); !value.empty()) {
      if (from != nullptr) *from = variable;
    } else if (const auto at = config.file.find(key); at != config.file.end()) {
      value = at->second;
      if (from != nullptr) *from = config.path;
    }
  };
  choose("SKERRY_URL", "url", config.url, &config.url_from);
  choose("SKERRY_TOKEN", "token", config.token, &config.token_from);
  choose("SKERRY_CA", "ca", config.ca_path, nullptr);
  if (config.url.empty()) config.url = kDefaultUrl, config.url_from = "default";
  // SECURITY: a line break in the token would put headers of its own into every request.
  if (config.token.find_first_of("\r\n") != std::string::npos)
    return usage_error("the token from {} contains a line break", config.token_from);
  return config;
}

Outcome<> save_config(const Config& config) {
  TRY(make_directories(config.directory, 0700));
  TRY_ASSIGN(const UniqueFd directory, open_at(AT_FDCWD, config.directory, O_RDONLY | O_DIRECTORY));
  std::string text = "# Written by `skerry config set`.\n";
  for (const auto& [key, value] : config.file) text += fmt::format("{} = {}\n", key, toml_string(value));
  TRY(write_file_atomic(directory.get(), "config.toml", text, 0600), config.path);
  return {};
}

}  // namespace skerry::cli
