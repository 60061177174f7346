#include "sandboxd/firewall.h"

#include <arpa/inet.h>
#include <nftables/libnftables.h>

#include <memory>

#include "os/file.h"

namespace skerry::sandbox {
namespace {

// Of one container at a time. A connection that both sides have closed no longer counts.
constexpr int kMaxConnections = 100;  // CONTRACT, limits
constexpr int kMaxOtherFlows = 1024;  // UDP, mostly names: each is kept for 30 s or more after its last packet

Result<void> run_nft(const std::string& commands) {
  const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context(nft_ctx_new(NFT_CTX_DEFAULT), nft_ctx_free);
  if (!context) return fail(ErrorCode::kNoCapacity, "nft context");
  nft_ctx_buffer_error(context.get());
  nft_ctx_buffer_output(context.get());
  if (nft_run_cmd_from_buffer(context.get(), commands.c_str()) != 0) return fail(ErrorCode::kIo, "nft: {}", nft_ctx_get_error_buffer(context.get()));
  return {};
}

}  // namespace

std::string usable_resolver(std::string_view resolv_conf) {
  while (!resolv_conf.empty()) {
    std::string_view line = resolv_conf.substr(0, resolv_conf.find('\n'));
    resolv_conf.remove_prefix(std::min(line.size() + 1, resolv_conf.size()));
    constexpr std::string_view kKey = "nameserver";
    if (!line.starts_with(kKey)) continue;
    line.remove_prefix(kKey.size());
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    const std::string text(line.substr(0, line.find_first_of(" \t\r")));
    in_addr address{};
    if (::inet_pton(AF_INET, text.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) != 127) return text;
  }
  return {};
}

std::string firewall_rules(const Settings& s, const std::string& resolver) {
  const std::string ours = "\"" + s.interface_prefix() + "*\"";
  const std::string dns_forward = resolver.empty() ? "" : fmt::format("    ip daddr {0} ct status dnat meta l4proto {{ tcp, udp }} th dport 53 accept\n", resolver);
  const std::string dns_nat = resolver.empty() ? ""
                                               : fmt::format("    iifname {0} ip daddr {1} meta l4proto {{ tcp, udp }} th dport 53 dnat ip to {2}\n",
                                                             ours, address_text(s.gateway()), resolver);
  // SECURITY: default deny between containers, to the host, and to every private, link-local, metadata and multicast range. A source address
  // that does not lead back to its own interface is dropped on arrival (rp_filter alone is undone by a loose setting for all interfaces). The
  // kernel's table of flows is one for the machine: a container that could fill it would take the network from all others and from the host.
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
  chain outbound {{
    meta nfproto ipv6 drop
    ct state invalid drop
    ct state established,related accept
    meta l4proto tcp add @connections {{ ip saddr ct count over {5} }} reject with icmpx type admin-prohibited
    meta l4proto != tcp add @flows {{ ip saddr ct count over {6} }} drop
{3}    ip daddr {{ 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3 }} drop
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
  chain incoming {{
    type filter hook input priority filter; policy accept;
    iifname {1} drop
  }}
  chain spoofed {{
    type filter hook prerouting priority raw; policy accept;
    iifname {1} fib saddr . iif oif missing drop
  }}
  chain names {{
    type nat hook prerouting priority dstnat; policy accept;
{4}  }}
  chain leaving {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {2}/16 oifname != {1} masquerade
  }}
}}
)",
                     s.tag, ours, address_text(s.subnet), dns_forward, dns_nat, kMaxConnections, kMaxOtherFlows);
}

Result<void> load_firewall(const Settings& settings) {
  const auto resolv_conf = read_file("/etc/resolv.conf", 64 * 1024);
  return run_nft(firewall_rules(settings, usable_resolver(resolv_conf ? *resolv_conf : "")));
}

Result<void> remove_firewall(const Settings& settings) { return run_nft(fmt::format("add table inet {0}\ndelete table inet {0}\n", settings.tag)); }

}  // namespace skerry::sandbox
