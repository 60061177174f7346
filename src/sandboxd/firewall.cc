#include "sandboxd/firewall.h"

#include <arpa/inet.h>
#include <nftables/libnftables.h>

#include <memory>

namespace skerry::sandbox {
namespace {

// Of one container at a time. A connection that both sides have closed no longer counts.
constexpr int kMaxConnections = 100;  // CONTRACT, limits
constexpr int kMaxOtherFlows = 1024;  // UDP: each is kept for 30 s or more after its last packet
// A second. The resolver refuses from 200 on, and says so; what is past this never reaches its socket, which all containers share.
constexpr int kMaxQuestions = 500;

Result<void> run_nft(const std::string& commands) {
  const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context(nft_ctx_new(NFT_CTX_DEFAULT), nft_ctx_free);
  if (!context) return fail(ErrorCode::kNoCapacity, "nft context");
  nft_ctx_buffer_error(context.get());
  nft_ctx_buffer_output(context.get());
  if (nft_run_cmd_from_buffer(context.get(), commands.c_str()) != 0) return fail(ErrorCode::kIo, "nft: {}", nft_ctx_get_error_buffer(context.get()));
  return {};
}

}  // namespace

std::string firewall_rules(const Settings& s) {
  const std::string ours = "\"" + s.interface_prefix() + "*\"";
  // SECURITY: default deny between containers, to the host, and to every private, link-local, metadata and multicast range. A source address
  // that does not lead back to its own interface is dropped on arrival (rp_filter alone is undone by a loose setting for all interfaces). The
  // kernel's table of flows is one for the machine: a container that could fill it would take the network from all others and from the host.
  // Of the host, containers reach two services at the gateway address: names, which are in no table of flows, and ingress. Nobody else does: not a
  // machine that routes its packets for that address here.
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
  chain outbound {{
    meta nfproto ipv6 drop
    ct state invalid drop
    ct state established,related accept
    meta l4proto tcp add @connections {{ ip saddr ct count over {5} }} reject with icmpx type admin-prohibited
    meta l4proto != tcp add @flows {{ ip saddr ct count over {6} }} drop
    ip daddr {{ 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3 }} drop
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
                     s.tag, ours, address_text(s.subnet), address_text(s.gateway()), s.https_port, kMaxConnections, kMaxOtherFlows, kMaxQuestions);
}

Result<void> load_firewall(const Settings& settings) {
  return run_nft(firewall_rules(settings));
}

Result<void> remove_firewall(const Settings& settings) { return run_nft(fmt::format("add table inet {0}\ndelete table inet {0}\n", settings.tag)); }

}  // namespace skerry::sandbox
