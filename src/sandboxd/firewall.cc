#include "sandboxd/firewall.h"

#include <arpa/inet.h>
#include <nftables/libnftables.h>

#include <algorithm>
#include <memory>
#include <tuple>

namespace skerry::sandbox {
namespace {

// Of one container at a time. A connection that both sides have closed no longer counts.
constexpr int kMaxConnections = 100;  // CONTRACT, limits
constexpr int kMaxOtherFlows = 1024;  // UDP: each is kept for 30 s or more after its last packet
// A second. The resolver refuses from 200 on, and says so; what is past this never reaches its socket, which all containers share.
constexpr int kMaxQuestions = 500;

// The kernel's bucket holds a second of a rate in bytes and this, a segment as large as they come.
constexpr uint64_t kBurstKilobytes = 64;

// "10.0.0.0/8, .." of rules of one family. The whole of it needs no list.
std::string networks(const std::vector<EgressRule>& rules, EgressRule::Family family) {
  std::string list;
  for (const EgressRule& rule : rules) {
    if (rule.prefix == 0) return {};
    list += fmt::format("{}{}", list.empty() ? "" : ", ", rule.network_text());
  }
  return fmt::format("{} daddr {{ {} }} ", family == EgressRule::Family::kV4 ? "ip" : "ip6", list);
}

// One rule for all entries with the same family, protocol and ports: within one list such networks do not overlap.
std::string list_rules(const std::vector<EgressRule>& list, std::string_view verdict) {
  using Family = EgressRule::Family;
  using Protocol = EgressRule::Protocol;
  std::string out;
  for (auto begin = list.begin(); begin != list.end();) {
    const EgressRule& first = *begin;
    const auto end = std::find_if(begin, list.end(), [&](const EgressRule& r) {
      return std::tie(r.family, r.protocol, r.first_port, r.last_port) != std::tie(first.family, first.protocol, first.first_port, first.last_port);
    });
    out += first.family == Family::kV4 ? "    meta nfproto ipv4 " : "    meta nfproto ipv6 ";
    out += networks({begin, end}, first.family);
    if (first.protocol == Protocol::kTcp) out += "meta l4proto tcp ";
    else if (first.protocol == Protocol::kUdp) out += "meta l4proto udp ";
    else if (first.first_port != 0) out += "meta l4proto { tcp, udp } ";
    if (first.first_port != 0) out += fmt::format("th dport {}", first.first_port);
    if (first.last_port != first.first_port) out += fmt::format("-{}", first.last_port);
    if (first.first_port != 0) out += ' ';
    out += fmt::format("{}\n", verdict);
    begin = end;
  }
  return out;
}

}  // namespace

std::string policy_rules(const EgressPolicy& policy, const std::vector<EgressRule>& open) {
  std::string out = list_rules(policy.deny, "drop");
  if (policy.allow.empty()) return out + "    return\n";
  // SECURITY: by what the operator opened, and not by what a revision was shipped with.
  std::vector<EgressRule> opened, usual;
  for (const EgressRule& rule : policy.allow)
    (std::any_of(open.begin(), open.end(), [&](const EgressRule& o) { return o.covers(rule); }) ? opened : usual).push_back(rule);
  return out + list_rules(opened, "goto opened") + list_rules(usual, "return") + "    drop\n";
}

std::string policy_chain(uint32_t number) { return fmt::format("policy_{}", number); }

std::string policy_element(const Settings& settings, uint32_t index, uint32_t number) {
  return fmt::format("{} : goto {}", address_text(settings.held_address(index)), policy_chain(number));
}

Result<void> run_nft(const std::string& commands) {
  const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context(nft_ctx_new(NFT_CTX_DEFAULT), nft_ctx_free);
  if (!context) return fail(ErrorCode::kNoCapacity, "nft context");
  nft_ctx_buffer_error(context.get());
  nft_ctx_buffer_output(context.get());
  if (nft_run_cmd_from_buffer(context.get(), commands.c_str()) != 0) return fail(ErrorCode::kIo, "nft: {}", nft_ctx_get_error_buffer(context.get()));
  return {};
}

std::string firewall_rules(const Settings& s, const HeldSlots& held) {
  const std::string ours = "\"" + s.interface_prefix() + "*\"";
  std::string chains, elements;
  for (const auto& [number, policy] : held.policies) chains += fmt::format("  chain {} {{\n{}  }}\n", policy_chain(number), policy_rules(policy, s.open));
  for (const auto& [index, number] : held.slots) elements += fmt::format("{}{}", elements.empty() ? "    elements = { " : ", ", policy_element(s, index, number));
  if (!elements.empty()) elements += " }\n";
  const uint64_t rate = s.bandwidth_bits / 8 / 1000;
  const std::string over = fmt::format("limit rate over {} kbytes/second burst {} kbytes", rate, kBurstKilobytes);
  // SECURITY: default deny between containers, to the host, and to every private, link-local, metadata and multicast range. A source address
  // that does not lead back to its own interface is dropped on arrival (rp_filter alone is undone by a loose setting for all interfaces). The
  // kernel's table of flows is one for the machine: a container that could fill it would take the network from all others and from the host.
  // Of the host, containers reach two services at the gateway address: names, which are in no table of flows, and ingress. Nobody else does: not a
  // machine that routes its packets for that address here.
  // Addresses of the upper half of the subnet belong to slots with an egress policy. One that no policy is known for reaches nothing outside:
  // whatever is forgotten closes. Policies are asked for every packet, so that nothing is left open by the connections that an address had in
  // another life.
  return fmt::format(R"(add table inet {0}
delete table inet {0}
table inet {0} {{
  set connections {{
    type ipv4_addr
    size 65535
    flags dynamic
  }}
  set flows {{
    type ipv4_addr
    size 65535
    flags dynamic
  }}
  set names {{
    type ipv4_addr
    size 65535
    flags dynamic,timeout
    timeout 10s
  }}
  set sent {{
    type ipv4_addr
    size 65535
    flags dynamic
  }}
  set received {{
    type ipv4_addr
    size 65535
    flags dynamic
  }}
  map policies {{
    type ipv4_addr : verdict
    size 65535
{9}  }}
  chain opened {{
    ct state established,related accept
    meta l4proto tcp add @connections {{ ip saddr ct count over {5} }} reject with icmpx type admin-prohibited
    meta l4proto != tcp add @flows {{ ip saddr ct count over {6} }} drop
    fib daddr type local drop
    tcp dport 25 drop
    accept
  }}
{8}  chain held {{
    ip saddr vmap @policies
    drop
  }}
  chain outbound {{
    meta nfproto ipv6 drop
    ct state invalid drop
    ip saddr {10}/17 jump held
    ct state established,related accept
    meta l4proto tcp add @connections {{ ip saddr ct count over {5} }} reject with icmpx type admin-prohibited
    meta l4proto != tcp add @flows {{ ip saddr ct count over {6} }} drop
    ip daddr {{ {12} }} drop
    fib daddr type local drop
    tcp dport 25 drop
    accept
  }}
  chain forwarded {{
    type filter hook forward priority filter; policy accept;
    iifname {1} oifname {1} drop
    iifname {1} jump outbound
    oifname {1} ct state established,related accept
    oifname {1} drop
  }}
  chain service {{
    udp dport 53 update @names {{ ip saddr limit rate over {7}/second burst {7} packets }} drop
    udp dport 53 accept
    ct state established ct direction original accept
    ct state != new drop
    meta l4proto tcp add @connections {{ ip saddr ct count over {5} }} reject with icmpx type admin-prohibited
    tcp dport {{ 53, {4} }} accept
    drop
  }}
  chain incoming {{
    type filter hook input priority filter; policy accept;
    iifname {1} ip daddr {3} ip saddr {2}/16 jump service
    iifname {1} drop
    iifname != "lo" ip daddr {3} drop
  }}
  chain spoofed {{
    type filter hook prerouting priority raw; policy accept;
    iifname {1} fib saddr . iif oif missing drop
  }}
  chain sending {{
    type filter hook prerouting priority raw + 1; policy accept;
    iifname {1} update @sent {{ ip saddr {11} }} drop
  }}
  chain receiving {{
    type filter hook postrouting priority filter; policy accept;
    oifname {1} update @received {{ ip daddr {11} }} drop
  }}
  chain questions {{
    type filter hook prerouting priority raw; policy accept;
    iifname {1} ip daddr {3} udp dport 53 notrack
  }}
  chain answers {{
    type filter hook output priority raw; policy accept;
    oifname {1} ip saddr {3} udp sport 53 notrack
  }}
  chain leaving {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {2}/16 oifname != {1} masquerade
  }}
}}
)",
                     s.tag, ours, address_text(s.subnet), address_text(s.gateway()), s.https_port, kMaxConnections, kMaxOtherFlows, kMaxQuestions, chains, elements,
                     address_text(s.held_address(0)), over, fmt::join(kClosedNetworks, ", "));
}

Result<void> load_firewall(const Settings& settings, const HeldSlots& held) { return run_nft(firewall_rules(settings, held)); }

Result<void> remove_firewall(const Settings& settings) { return run_nft(fmt::format("add table inet {0}\ndelete table inet {0}\n", settings.tag)); }

}  // namespace skerry::sandbox
