// Config: which gateway, with which token and CA. From the environment (SKERRY_URL, SKERRY_TOKEN, SKERRY_CA),
// else from
// ~/.config/skerry/config.toml, else the machine's own unix socket.
//
// The file holds a credential: it is written with mode 0600, and read with a warning if others can read it.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "cli/exit.h"

namespace skerry::cli {

inline constexpr std::string_view kDefaultUrl = "unix:/run/skerry/control.sock";
inline constexpr size_t kMaxConfigBytes = 64 * 1024;

// Where the gateway is. "unix:/path", "https://host[:port]", and "http://" for loopback alone.
struct Endpoint {
  enum class Kind { kUnix, kHttps, kHttp };
  Kind kind = Kind::kUnix;
  std::string text;                     // as given
  std::string socket_path;              // kUnix
  std::string base_url;                 // "https://host:8081", without a slash at the end
  std::string host;                     // "" for kUnix
  [[nodiscard]] bool is_local() const;  // a unix socket or a loopback host
};
Outcome<Endpoint> parse_endpoint(std::string_view text);
[[nodiscard]] bool is_loopback_host(std::string_view host);

struct Config {
  std::string directory;                    // ~/.config/skerry
  std::string path;                         // .../config.toml
  std::map<std::string, std::string> file;  // what the file says: url, token, ca
  std::string url;
  std::string token;  // "" where there is none
  std::string ca_path;
  std::string url_from;  // "SKERRY_URL", the file's path or "default"
  std::string token_from;
  std::vector<std::string> warnings;

  [[nodiscard]] std::string cached_ca_path() const { return directory + "/ca.pem"; }
};

Outcome<Config> load_config();
// Writes the file's values (creating the folder with 0700).
Outcome<> save_config(const Config& config);
[[nodiscard]] std::span<const std::string_view> config_keys();

}  // namespace skerry::cli
