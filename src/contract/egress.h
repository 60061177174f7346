// EgressPolicy: what a function may reach outside, [egress] of a manifest. Values, their text and their codec.
//
// A rule is "[tcp/|udp/]ADDRESS[/PREFIX][:PORT[-PORT]]", an IPv6 address with a port in brackets ("[2001:db8::/32]:443"). Without ports it means every
// protocol, with ports TCP and UDP unless it names one. With allow rules only what they name is reached, without them the internet; deny rules win.
// A policy is kept in one form only (normalise()), so that equal policies are equal bytes, and decode() takes no other.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skerry {

// Of each list. Enough for the published ranges of a large service; the kernel walks a policy for each packet.
inline constexpr size_t kMaxEgressRules = 64;
inline constexpr size_t kMaxEgressTextBytes = 64;  // the longest rule: a protocol, a full IPv6 address, a prefix and two ports
inline constexpr size_t kMaxPolicyBytes = 2 * (1 + kMaxEgressRules * 23);  // encoded, with both lists full of IPv6

// What no container reaches unless the operator opened it: this network, private and shared ranges, loopback, link-local and metadata, special
// purposes, benchmarking (where containers themselves are), multicast and reserved.
inline constexpr std::string_view kClosedNetworks[] = {"0.0.0.0/8",     "10.0.0.0/8",   "100.64.0.0/10",  "127.0.0.0/8",   "169.254.0.0/16",
                                                       "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"};

struct EgressRule {
  enum class Family : uint8_t { kV4 = 0, kV6 = 1 };
  enum class Protocol : uint8_t { kAny = 0, kTcp = 1, kUdp = 2 };
  Family family = Family::kV4;
  Protocol protocol = Protocol::kAny;
  uint16_t first_port = 0, last_port = 0;  // 0: whatever the port, and protocols that have none
  std::array<uint8_t, 16> network{};       // network byte order, host bits 0; of IPv4 the first four
  uint8_t prefix = 0;
  auto operator<=>(const EgressRule&) const = default;

  [[nodiscard]] bool covers(const EgressRule& other) const;  // everything that `other` names
  [[nodiscard]] bool overlaps(const EgressRule& other) const;
  [[nodiscard]] std::string network_text() const;  // "203.0.113.0/24", without a prefix that is a whole address
  [[nodiscard]] std::string text() const;
};

// What is wrong with a text, and what to write instead ("" where the message says it all).
struct EgressComplaint {
  std::string message;
  std::string fix;
};
std::expected<EgressRule, EgressComplaint> parse_egress_rule(std::string_view text);
// The complaint as one sentence.
Result<EgressRule> read_egress_rule(std::string_view text);

// What makes a rule of an allow list one that would never let anything through: it lies in what the platform closes, and `open` does not have it.
Result<void> check_egress_allow(const EgressRule& rule, const std::vector<EgressRule>& open);
// The operator's list of closed ranges that functions may name: never this host's own, multicast, or `containers`, the subnet of the containers.
Result<std::vector<EgressRule>> read_egress_open(const std::vector<std::string>& list, std::string_view containers);

struct EgressPolicy {
  std::vector<EgressRule> allow, deny;
  auto operator<=>(const EgressPolicy&) const = default;

  // The internet, as without [egress].
  [[nodiscard]] bool empty() const { return allow.empty() && deny.empty(); }
  // Sorts, and takes out what another rule of the same list says already.
  void normalise();
  [[nodiscard]] std::string encode() const;
  // Refuses what normalise() would change.
  static Result<EgressPolicy> decode(std::string_view bytes);
};

}  // namespace skerry
