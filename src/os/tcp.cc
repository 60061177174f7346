#include "os/tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>

namespace skerry {

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

Result<UniqueFd> listen_tcp(const std::string& address, uint16_t port, int backlog) {
  TRY_ASSIGN(const SocketAddress at, parse_address(address, port));
  UniqueFd fd(::socket(at.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (at.storage.ss_family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at.storage), at.size) != 0) return fail_errno("listen on {} port {}", address, port);
  if (::listen(fd.get(), backlog) != 0) return fail_errno("listen on {} port {}", address, port);
  return fd;
}

}  // namespace skerry
