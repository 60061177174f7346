// TCP sockets by numeric address. No names are resolved here.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};
// `address` is a numeric IPv4 or IPv6 address.
Result<SocketAddress> parse_address(const std::string& address, uint16_t port);

// Listening socket, non-blocking, SO_REUSEADDR; IPv6 addresses accept IPv6 only.
Result<UniqueFd> listen_tcp(const std::string& address, uint16_t port, int backlog = 1024);

}  // namespace skerry
