#include "resolver/servers.h"

#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "os/file.h"

namespace skerry::dns {
namespace {

constexpr size_t kMaxFileBytes = 64U << 10;

Result<SocketAddress> parse_server(std::string text) {
  uint32_t scope = 0;
  if (const size_t percent = text.find('%'); percent != std::string::npos) {
    scope = ::if_nametoindex(text.c_str() + percent + 1);
    if (scope == 0) return fail(ErrorCode::kInvalidArgument, "no interface `{}`", text.substr(percent + 1));
    text.resize(percent);
  }
  TRY_ASSIGN(SocketAddress address, parse_address(text, kDnsPort));
  if (address.storage.ss_family == AF_INET6)
    reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_scope_id = scope;
  return address;
}

}  // namespace

bool same_address(const SocketAddress& a, const SocketAddress& b) {
  return a.size == b.size && std::memcmp(&a.storage, &b.storage, a.size) == 0;
}

std::vector<SocketAddress> servers_of(std::string_view resolv_conf, const SocketAddress& own) {
  std::vector<SocketAddress> out;
  while (!resolv_conf.empty() && out.size() < kMaxServers) {
    std::string_view line = resolv_conf.substr(0, resolv_conf.find('\n'));
    resolv_conf.remove_prefix(std::min(line.size() + 1, resolv_conf.size()));
    constexpr std::string_view kKey = "nameserver", kBlank = " \t";
    if (!line.starts_with(kKey)) continue;
    line.remove_prefix(kKey.size());
    if (line.empty() || kBlank.find(line.front()) == std::string_view::npos) continue;
    line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
    const auto server = parse_server(std::string(line.substr(0, line.find_first_of(" \t\r"))));
    if (server && !same_address(*server, own)) out.push_back(*server);
  }
  return out;
}

Servers::Servers(std::vector<SocketAddress> fixed, std::string path, SocketAddress own)
    : path_(fixed.empty() ? std::move(path) : ""), own_(own) {
  for (const SocketAddress& address : fixed)
    if (servers_.size() < kMaxServers && !same_address(address, own_)) servers_.push_back({address});
}

void Servers::reload() {
  struct stat now{};
  if (::stat(path_.c_str(), &now) != 0) now = {};
  const bool same = looked_ && now.st_ino == seen_.st_ino && now.st_dev == seen_.st_dev &&
                    now.st_size == seen_.st_size && now.st_mtim.tv_sec == seen_.st_mtim.tv_sec &&
                    now.st_mtim.tv_nsec == seen_.st_mtim.tv_nsec;
  if (same) return;
  looked_ = true;
  seen_ = now;
  const auto text = read_file(path_, kMaxFileBytes);
  servers_.clear();
  for (const SocketAddress& address : servers_of(text ? *text : "", own_)) servers_.push_back({address});
}

std::vector<SocketAddress> Servers::order(TimePoint now) {
  if (!path_.empty() && (!looked_ || now >= look_at_)) {
    look_at_ = now + kLookAgainAfter;
    reload();
  }
  std::vector<SocketAddress> out;
  for (const bool avoided : {false, true})
    for (const Server& s : servers_)
      if ((s.avoid_until > now) == avoided) out.push_back(s.address);
  return out;
}

void Servers::answered(const SocketAddress& server) {
  for (Server& s : servers_)
    if (same_address(s.address, server)) s.avoid_until = {};
}

void Servers::silent(const SocketAddress& server, TimePoint now) {
  for (Server& s : servers_)
    if (same_address(s.address, server)) s.avoid_until = now + kAvoidTime;
}

}  // namespace skerry::dns
