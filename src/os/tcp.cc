#include "os/tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>

namespace skerry {
namespace {

Result<UniqueFd> bound_socket(const std::string& address, uint16_t port, int type, Presence presence) {
  TRY_ASSIGN(const SocketAddress at, parse_address(address, port));
  const bool v6 = at.storage.ss_family == AF_INET6;
  UniqueFd fd(::socket(at.storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  const int on = 1;
  if (type == SOCK_STREAM) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (v6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (presence == Presence::kLater && ::setsockopt(fd.get(), v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, &on, sizeof on) != 0)
    return fail_errno("bind to {}, which may not be there yet", address);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at.storage), at.size) != 0) return fail_errno("listen on {} port {}", address, port);
  return fd;
}

}  // namespace

Result<SocketAddress> parse_address(const std::string& address, uint16_t port) {
  SocketAddress out;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    out.size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    out.size = sizeof *v6;
  } else {
    return fail(ErrorCode::kInvalidArgument, "`{}` is not a numeric IP address", address);
  }
  return out;
}

Result<SocketAddress> parse_endpoint(const std::string& text, uint16_t default_port) {
  std::string address = text;
  uint16_t port = default_port;
  const size_t colon = text.rfind(':');
  const bool bracketed = text.starts_with('[');
  const bool has_port = bracketed ? colon != std::string::npos && colon > 0 && text[colon - 1] == ']' : colon != std::string::npos && text.find(':') == colon;
  if (has_port) {
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
    if (parsed.ec != std::errc() || parsed.ptr != end || port == 0) return fail(ErrorCode::kInvalidArgument, "`{}` has no port from 1 to 65535", text);
    address.resize(colon);
  }
  if (bracketed) {
    if (!address.ends_with(']')) return fail(ErrorCode::kInvalidArgument, "`{}` is not [address]:port", text);
    address = address.substr(1, address.size() - 2);
    if (address.find(':') == std::string::npos) return fail(ErrorCode::kInvalidArgument, "`{}` is not an IPv6 address", text);
  }
  return parse_address(address, port);
}

Result<UniqueFd> listen_tcp(const std::string& address, uint16_t port, Presence presence, int backlog) {
  TRY_ASSIGN(UniqueFd fd, bound_socket(address, port, SOCK_STREAM, presence));
  if (::listen(fd.get(), backlog) != 0) return fail_errno("listen on {} port {}", address, port);
  return fd;
}

Result<UniqueFd> bind_udp(const std::string& address, uint16_t port, Presence presence, int buffer_bytes) {
  TRY_ASSIGN(UniqueFd fd, bound_socket(address, port, SOCK_DGRAM, presence));
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes) != 0)
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
  return fd;
}

}  // namespace skerry
