#include "sandboxd/netlink.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cstring>

namespace skerry::sandbox {
namespace {

// Builds one message: header, fixed part, attributes. Lengths are filled in as it grows.
class Builder {
 public:
  template <typename Fixed>
  Builder(uint16_t type, uint16_t flags, const Fixed& fixed) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    append(&header, sizeof header);
    append(&fixed, sizeof fixed);
  }
  void attribute(uint16_t type, const void* bytes, size_t size) {
    const size_t at = begin(type);
    append(bytes, size);
    end(at);
  }
  void attribute(uint16_t type, uint32_t value) { attribute(type, &value, sizeof value); }
  void attribute(uint16_t type, const std::string& text) { attribute(type, text.c_str(), text.size() + 1); }
  // A nested attribute: everything until end(at).
  size_t begin(uint16_t type) {
    const size_t at = out_.size();
    rtattr attr{};
    attr.rta_type = type;
    append(&attr, sizeof attr);
    return at;
  }
  void end(size_t at) {
    const auto size = static_cast<uint16_t>(out_.size() - at);
    std::memcpy(out_.data() + at, &size, sizeof size);
    out_.resize(NLMSG_ALIGN(out_.size()));
  }
  template <typename Fixed>
  void fixed(const Fixed& value) {
    append(&value, sizeof value);
  }
  std::string& finish() {
    const auto size = static_cast<uint32_t>(out_.size());
    std::memcpy(out_.data(), &size, sizeof size);
    return out_;
  }

 private:
  void append(const void* bytes, size_t size) {
    out_.append(static_cast<const char*>(bytes), size);
    out_.resize(NLMSG_ALIGN(out_.size()));
  }
  std::string out_;
};

Result<uint32_t> index_of(const std::string& name) {
  const uint32_t index = ::if_nametoindex(name.c_str());
  if (index == 0) return fail_errno("interface `{}`", name);
  return index;
}

}  // namespace

Result<Netlink> Netlink::open() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return fail_errno("netlink socket");
  return Netlink(std::move(fd));
}

Result<void> Netlink::transact(std::string& message, const char* what) {
  const uint32_t sequence = ++sequence_;
  std::memcpy(message.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
  if (::send(fd_.get(), message.data(), message.size(), 0) < 0) return fail_errno("netlink: {}", what);
  alignas(nlmsghdr) char answer[8192];
  const ssize_t n = ::recv(fd_.get(), answer, sizeof answer, 0);
  if (n < static_cast<ssize_t>(sizeof(nlmsghdr) + sizeof(int))) return fail_errno("netlink answer: {}", what);
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer);
  if (header->nlmsg_type != NLMSG_ERROR) return fail(ErrorCode::kProtocol, "netlink: {}: an answer of type {}", what, header->nlmsg_type);
  int error = 0;
  std::memcpy(&error, answer + sizeof(nlmsghdr), sizeof error);
  if (error != 0) return std::unexpected(Error::from_errno(-error, fmt::format("netlink: {}", what)));
  return {};
}

Result<void> Netlink::add_veth(const std::string& name, const std::string& peer_name, int peer_namespace, uint32_t mtu) {
  Builder b(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  b.attribute(IFLA_IFNAME, name);
  b.attribute(IFLA_MTU, mtu);
  const size_t info = b.begin(IFLA_LINKINFO);
  b.attribute(IFLA_INFO_KIND, "veth", 4);
  const size_t data = b.begin(IFLA_INFO_DATA);
  const size_t peer = b.begin(VETH_INFO_PEER);
  b.fixed(ifinfomsg{});
  b.attribute(IFLA_IFNAME, peer_name);
  b.attribute(IFLA_MTU, mtu);
  b.attribute(IFLA_NET_NS_FD, static_cast<uint32_t>(peer_namespace));
  b.end(peer);
  b.end(data);
  b.end(info);
  return transact(b.finish(), "add veth");
}

Result<void> Netlink::delete_link(const std::string& name) {
  TRY_ASSIGN(const uint32_t index, index_of(name));
  ifinfomsg info{};
  info.ifi_index = static_cast<int>(index);
  Builder b(RTM_DELLINK, 0, info);
  return transact(b.finish(), "delete link");
}

Result<void> Netlink::set_alias(const std::string& name, const std::string& alias) {
  TRY_ASSIGN(const uint32_t index, index_of(name));
  ifinfomsg info{};
  info.ifi_index = static_cast<int>(index);
  Builder b(RTM_NEWLINK, 0, info);
  b.attribute(IFLA_IFALIAS, alias.data(), alias.size());
  return transact(b.finish(), "set alias");
}

Result<void> Netlink::set_up(const std::string& name) {
  TRY_ASSIGN(const uint32_t index, index_of(name));
  ifinfomsg info{};
  info.ifi_index = static_cast<int>(index);
  info.ifi_flags = IFF_UP;
  info.ifi_change = IFF_UP;
  Builder b(RTM_NEWLINK, 0, info);
  return transact(b.finish(), "set up");
}

Result<void> Netlink::add_address(const std::string& name, uint32_t address) {
  TRY_ASSIGN(const uint32_t index, index_of(name));
  ifaddrmsg info{};
  info.ifa_family = AF_INET;
  info.ifa_prefixlen = 32;
  info.ifa_index = index;
  Builder b(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, info);
  b.attribute(IFA_LOCAL, htonl(address));
  b.attribute(IFA_ADDRESS, htonl(address));
  return transact(b.finish(), "add address");
}

Result<void> Netlink::add_route(const std::string& name, uint32_t destination, uint8_t prefix, uint32_t gateway) {
  TRY_ASSIGN(const uint32_t index, index_of(name));
  rtmsg info{};
  info.rtm_family = AF_INET;
  info.rtm_dst_len = prefix;
  info.rtm_table = RT_TABLE_MAIN;
  info.rtm_protocol = RTPROT_STATIC;
  info.rtm_type = RTN_UNICAST;
  info.rtm_scope = gateway == 0 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  if (gateway != 0) info.rtm_flags = RTNH_F_ONLINK;
  Builder b(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, info);
  if (prefix > 0) b.attribute(RTA_DST, htonl(destination));
  if (gateway != 0) b.attribute(RTA_GATEWAY, htonl(gateway));
  b.attribute(RTA_OIF, index);
  return transact(b.finish(), "add route");
}

}  // namespace skerry::sandbox
