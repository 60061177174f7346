// The resolvers that names are asked of: those of the host's resolv.conf, whatever they are (loopback and
// private ones too), or those of the configuration. Which of them answer is remembered, so that a dead one
// costs its wait once in a while and not with every name.
#pragma once

#include <sys/stat.h>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "os/tcp.h"

namespace skerry::dns {

inline constexpr size_t kMaxServers = 3;  // what the C library takes of a resolv.conf
inline constexpr uint16_t kDnsPort = 53;

// In the file's order, without those that cannot be read and without `own` (SECURITY: a resolver that asks
// itself never stops).
[[nodiscard]] std::vector<SocketAddress> servers_of(std::string_view resolv_conf, const SocketAddress& own);
[[nodiscard]] bool same_address(const SocketAddress& a, const SocketAddress& b);

class Servers {
 public:
  static constexpr Duration kLookAgainAfter = std::chrono::seconds(1);
  static constexpr Duration kAvoidTime = std::chrono::seconds(30);

  // `fixed` where the configuration names some; else the file at `path`, now and whenever it has changed.
  Servers(std::vector<SocketAddress> fixed, std::string path, SocketAddress own);
  // Those to ask, in this order: who did not answer lately comes last. Reads the file where it has changed,
  // at most every kLookAgainAfter.
  [[nodiscard]] std::vector<SocketAddress> order(TimePoint now);
  void answered(const SocketAddress& server);
  void silent(const SocketAddress& server, TimePoint now);

 private:
  struct Server {
    SocketAddress address;
    TimePoint avoid_until{};
  };
  void reload();

  std::string path_;  // "" for fixed ones
  SocketAddress own_;
  std::vector<Server> servers_;
  TimePoint look_at_{};
  bool looked_ = false;
  struct stat seen_{};
};

}  // namespace skerry::dns
