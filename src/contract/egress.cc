#include "contract/egress.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "contract/wire.h"

namespace skerry {
namespace {

using Family = EgressRule::Family;
using Protocol = EgressRule::Protocol;

constexpr uint8_t bits_of(Family family) { return family == Family::kV4 ? 32 : 128; }
constexpr size_t bytes_of(Family family) { return bits_of(family) / 8; }

void clear_host_bits(EgressRule& rule) {
  for (size_t i = 0; i < rule.network.size(); ++i) {
    const int kept = std::clamp(rule.prefix - static_cast<int>(8 * i), 0, 8);
    rule.network[i] &= static_cast<uint8_t>(0xFF00 >> kept);
  }
}

bool same_network(const EgressRule& a, const EgressRule& b, uint8_t prefix) {
  if (a.family != b.family) return false;
  EgressRule x = a, y = b;
  x.prefix = y.prefix = prefix;
  clear_host_bits(x);
  clear_host_bits(y);
  return x.network == y.network;
}

template <typename T>
std::optional<T> whole_number(std::string_view text, T least, T most) {
  T value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || value < least || value > most) return std::nullopt;
  return value;
}

std::unexpected<EgressComplaint> complain(std::string message, std::string fix = {}) { return std::unexpected(EgressComplaint{std::move(message), std::move(fix)}); }

// "ADDRESS[/PREFIX]"
std::expected<void, EgressComplaint> parse_network(std::string_view text, EgressRule& rule) {
  const size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  if (::inet_pton(AF_INET, address.c_str(), rule.network.data()) == 1) {
    rule.family = Family::kV4;
  } else if (::inet_pton(AF_INET6, address.c_str(), rule.network.data()) == 1) {
    rule.family = Family::kV6;
    constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    if (std::equal(kMapped.begin(), kMapped.end(), rule.network.begin())) return complain("is an IPv4 address written as IPv6", "write it as a.b.c.d");
  } else if (address.find_first_not_of("0123456789.:abcdefABCDEF") != std::string::npos || address.empty()) {
    return complain("is not an address: rules are addresses or ranges, not names", "\"203.0.113.0/24:443\"");
  } else {
    return complain("is not an IPv4 or IPv6 address or range", "\"203.0.113.7\", \"203.0.113.0/24:443\" or \"[2001:db8::/32]:443\"");
  }
  rule.prefix = bits_of(rule.family);
  if (slash == std::string_view::npos) return {};
  const auto prefix = whole_number<uint8_t>(text.substr(slash + 1), 0, bits_of(rule.family));
  if (!prefix) return complain(fmt::format("needs a prefix from 0 to {} after the /", bits_of(rule.family)));
  rule.prefix = *prefix;
  const auto given = rule.network;
  clear_host_bits(rule);
  if (rule.network != given) return complain("has bits set beyond its prefix", fmt::format("\"{}\"", rule.network_text()));
  return {};
}

std::expected<void, EgressComplaint> parse_ports(std::string_view text, EgressRule& rule) {
  const size_t dash = text.find('-');
  const auto first = whole_number<uint16_t>(text.substr(0, dash), 1, 65535);
  const auto last = dash == std::string_view::npos ? first : whole_number<uint16_t>(text.substr(dash + 1), 1, 65535);
  if (!first || !last) return complain("needs a port from 1 to 65535, or two with a - between them, after the :");
  if (*last < *first) return complain("has a range of ports that ends before it begins", fmt::format("{}-{}", *last, *first));
  rule.first_port = *first;
  rule.last_port = *last;
  return {};
}

// The rules in normal form; an empty list stays one.
void normalise_list(std::vector<EgressRule>& list) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  std::vector<EgressRule> kept;
  for (const EgressRule& rule : list)
    if (std::none_of(list.begin(), list.end(), [&](const EgressRule& other) { return other != rule && other.covers(rule); })) kept.push_back(rule);
  list = std::move(kept);
}

void write_list(wire::Writer& w, const std::vector<EgressRule>& list) {
  w.number(static_cast<uint8_t>(list.size()));
  for (const EgressRule& rule : list) {
    w.number(rule.family);
    w.number(rule.protocol);
    w.number(rule.first_port);
    w.number(rule.last_port);
    for (size_t i = 0; i < bytes_of(rule.family); ++i) w.number(rule.network[i]);
    w.number(rule.prefix);
  }
}

std::vector<EgressRule> read_list(wire::Reader& r) {
  const auto count = r.number<uint8_t>();
  if (count > kMaxEgressRules) r.fail_now();
  std::vector<EgressRule> list;
  for (uint8_t i = 0; i < count && !r.failed(); ++i) {
    EgressRule rule;
    rule.family = r.enumeration(Family::kV6);
    rule.protocol = r.enumeration(Protocol::kUdp);
    rule.first_port = r.number<uint16_t>();
    rule.last_port = r.number<uint16_t>();
    for (size_t b = 0; b < bytes_of(rule.family); ++b) rule.network[b] = r.number<uint8_t>();
    rule.prefix = r.number<uint8_t>();
    const auto network = rule.network;
    if (rule.prefix <= bits_of(rule.family)) clear_host_bits(rule);
    const bool ports = rule.first_port != 0;
    if (rule.prefix > bits_of(rule.family) || rule.network != network || rule.last_port < rule.first_port || (ports ? false : rule.last_port != 0)) r.fail_now();
    list.push_back(rule);
  }
  return list;
}

EgressRule known(std::string_view text) { return parse_egress_rule(text).value_or(EgressRule{}); }

// The closed network that the rule lies in.
std::optional<EgressRule> closed_around(const EgressRule& rule) {
  for (const std::string_view text : kClosedNetworks)
    if (const EgressRule closed = known(text); closed.covers(rule)) return closed;
  return std::nullopt;
}

}  // namespace

bool EgressRule::covers(const EgressRule& other) const {
  if (prefix > other.prefix || !same_network(*this, other, prefix)) return false;
  if (protocol != Protocol::kAny && protocol != other.protocol) return false;
  if (first_port == 0) return true;
  return first_port <= other.first_port && other.last_port <= last_port && other.first_port != 0;
}

bool EgressRule::overlaps(const EgressRule& other) const { return same_network(*this, other, std::min(prefix, other.prefix)); }

std::string EgressRule::network_text() const {
  char address[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(family == Family::kV4 ? AF_INET : AF_INET6, network.data(), address, sizeof address);
  return prefix == bits_of(family) ? std::string(address) : fmt::format("{}/{}", address, prefix);
}

std::string EgressRule::text() const {
  std::string out = protocol == Protocol::kTcp ? "tcp/" : protocol == Protocol::kUdp ? "udp/" : "";
  const bool brackets = family == Family::kV6 && first_port != 0;
  out += brackets ? fmt::format("[{}]", network_text()) : network_text();
  if (first_port != 0) out += fmt::format(":{}", first_port);
  if (last_port != first_port) out += fmt::format("-{}", last_port);
  return out;
}

std::expected<EgressRule, EgressComplaint> parse_egress_rule(std::string_view text) {
  EgressRule rule;
  if (text.empty()) return complain("is empty", "\"203.0.113.0/24:443\"");
  if (text.size() > kMaxEgressTextBytes || text.find('\0') != std::string_view::npos) return complain(fmt::format("is no rule: one has at most {} characters", kMaxEgressTextBytes));
  if (text.starts_with("tcp/")) rule.protocol = Protocol::kTcp;
  if (text.starts_with("udp/")) rule.protocol = Protocol::kUdp;
  if (rule.protocol != Protocol::kAny) text.remove_prefix(4);
  std::string_view network = text, ports;
  bool has_ports = false;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return complain("has a [ without its ]");
    network = text.substr(1, close - 1);
    if (network.find(':') == std::string_view::npos) return complain("has brackets around what is no IPv6 address");
    if (text.substr(close + 1).starts_with('/')) return complain("has its prefix after the bracket", "\"[2001:db8::/32]:443\"");
    if (close + 1 < text.size() && text[close + 1] != ':') return complain("has something else than :PORT after the ]");
    has_ports = close + 1 < text.size();
    ports = has_ports ? text.substr(close + 2) : std::string_view();
  } else if (const size_t colon = text.find(':'); colon != std::string_view::npos && colon == text.rfind(':')) {
    network = text.substr(0, colon);
    ports = text.substr(colon + 1);
    has_ports = true;
  }
  if (auto read = parse_network(network, rule); !read) return std::unexpected(read.error());
  if (!has_ports) return rule;
  if (auto read = parse_ports(ports, rule); !read) return std::unexpected(read.error());
  return rule;
}

Result<EgressRule> read_egress_rule(std::string_view text) {
  auto rule = parse_egress_rule(text);
  if (rule) return *rule;
  const EgressComplaint& c = rule.error();
  return fail(ErrorCode::kInvalidArgument, "`{}` {}{}{}", text.substr(0, kMaxEgressTextBytes), c.message, c.fix.empty() ? "" : "; write ", c.fix);
}

Result<void> check_egress_allow(const EgressRule& rule, const std::vector<EgressRule>& open) {
  if (rule.family == Family::kV6) return fail(ErrorCode::kInvalidArgument, "`{}` is never reached: functions have no IPv6 yet", rule.text());
  // In a closed range mail is no other matter.
  if (rule.first_port == 25 && rule.last_port == 25 && rule.protocol != Protocol::kUdp)
    return fail(ErrorCode::kInvalidArgument, "`{}` is never reached: the platform closes TCP port 25 (mail); submission is 465 or 587", rule.text());
  const auto closed = closed_around(rule);
  if (!closed || std::any_of(open.begin(), open.end(), [&](const EgressRule& o) { return o.covers(rule); })) return {};
  return fail(ErrorCode::kInvalidArgument, "`{}` is never reached: the platform closes {} (private, link-local, metadata or reserved); the operator may open it with `[egress] open` of skerry.toml",
              rule.text(), closed->network_text());
}

Result<std::vector<EgressRule>> read_egress_open(const std::vector<std::string>& list, std::string_view containers) {
  if (list.size() > kMaxEgressRules) return fail(ErrorCode::kInvalidArgument, "has {} entries, and {} is the most", list.size(), kMaxEgressRules);
  std::vector<EgressRule> open;
  for (const std::string& text : list) {
    TRY_ASSIGN(const EgressRule rule, read_egress_rule(text));
    if (!closed_around(rule)) return fail(ErrorCode::kInvalidArgument, "`{}` is not within a range that is closed: {}", text, fmt::join(kClosedNetworks, ", "));
    for (const std::string_view never : {std::string_view("0.0.0.0/8"), std::string_view("127.0.0.0/8"), std::string_view("224.0.0.0/3")})
      if (known(never).overlaps(rule)) return fail(ErrorCode::kInvalidArgument, "`{}` is never opened: it is this host's own, or multicast", text);
    if (known(containers).overlaps(rule)) return fail(ErrorCode::kInvalidArgument, "`{}` is never opened: containers are in {}", text, containers);
    open.push_back(rule);
  }
  return open;
}

void EgressPolicy::normalise() {
  normalise_list(allow);
  normalise_list(deny);
}

std::string EgressPolicy::encode() const {
  wire::Writer w;
  if (empty()) return {};
  write_list(w, allow);
  write_list(w, deny);
  return w.take();
}

Result<EgressPolicy> EgressPolicy::decode(std::string_view bytes) {
  EgressPolicy policy;
  if (bytes.empty()) return policy;
  wire::Reader r(bytes);
  policy.allow = read_list(r);
  policy.deny = read_list(r);
  TRY(r.finish("egress policy"));
  EgressPolicy normal = policy;
  normal.normalise();
  if (policy.empty() || normal != policy) return fail(ErrorCode::kProtocol, "egress policy: not in its normal form");
  return policy;
}

}  // namespace skerry
