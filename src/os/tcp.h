// TCP and UDP sockets by numeric address. No names are resolved here.
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
// "10.0.0.1", "10.0.0.1:5300", "fd00::1" or "[fd00::1]:5300".
Result<SocketAddress> parse_endpoint(const std::string& text, uint16_t default_port);

// Listening socket, non-blocking, SO_REUSEADDR; IPv6 addresses accept IPv6 only.
// kLater: the address may come to be on this machine after the socket was made (IP_FREEBIND), as that of interfaces which are made with containers.
enum class Presence : uint8_t { kNow, kLater };
Result<UniqueFd> listen_tcp(const std::string& address, uint16_t port, Presence presence = Presence::kNow, int backlog = 1024);
// Bound UDP socket, non-blocking, with room for `buffer_bytes` of datagrams that wait (as root; else what the machine allows).
Result<UniqueFd> bind_udp(const std::string& address, uint16_t port, Presence presence, int buffer_bytes);

}  // namespace skerry
