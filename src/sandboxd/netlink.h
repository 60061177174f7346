// The few rtnetlink requests that a slot's network needs. A Netlink acts in the network namespace in which it was opened.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry::sandbox {

class Netlink {
 public:
  static Result<Netlink> open();

  // A veth pair: `name` here, `peer_name` in `peer_namespace`.
  Result<void> add_veth(const std::string& name, const std::string& peer_name, int peer_namespace, uint32_t mtu);
  Result<void> delete_link(const std::string& name);
  // What the host shows beside the name; it goes with the interface.
  Result<void> set_alias(const std::string& name, const std::string& alias);
  Result<void> set_up(const std::string& name);
  // address/32 on the interface (host byte order).
  Result<void> add_address(const std::string& name, uint32_t address);
  // destination/prefix through the interface, by `gateway` unless it is 0.
  Result<void> add_route(const std::string& name, uint32_t destination, uint8_t prefix, uint32_t gateway);

 private:
  explicit Netlink(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<void> transact(std::string& message, const char* what);

  UniqueFd fd_;
  uint32_t sequence_ = 0;
};

}  // namespace skerry::sandbox
