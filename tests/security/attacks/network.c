/* Attacks over the network: reaching what is closed, and saying to be another. */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "attack.h"

union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};
static socklen_t parse(union address* out, const char* text, int port) {
  memset(out, 0, sizeof *out);
  if (strchr(text, ':') == NULL) {
    out->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, text, &out->v4.sin_addr);
    return sizeof out->v4;
  }
  out->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  inet_pton(AF_INET6, text, &out->v6.sin6_addr);
  if (strncmp(text, "fe80", 4) == 0 || strncmp(text, "ff0", 3) == 0) out->v6.sin6_scope_id = if_nametoindex("eth0");
  return sizeof out->v6;
}
/* Tries that are under way. All wait together, so that many that are dropped take no longer than one. */
enum { kMaxTries = 64, kWaitMs = 600 };
static struct try {
  char what[128];
  struct pollfd fd;
} tries[kMaxTries];
static size_t tries_made;

static void begin_try(const char* address, const char* port, int fd, short event) {
  struct try* t = &tries[tries_made];
  snprintf(t->what, sizeof t->what, "%s %s", address, port);
  t->fd = (struct pollfd){fd, event, 0};
  ++tries_made;
}
static void tell_error(const char* what, int error) {
  errno = error;
  tell(what, error ? -1 : 0);
}
/* Each is told by `end` as soon as something comes, or as "ETIMEDOUT". */
static void wait_for_tries(void (*end)(const struct try*)) {
  const long until = now_ms() + kWaitMs;
  for (size_t i = 0; i < tries_made; ++i) {
    const long left = until - now_ms();
    if (poll(&tries[i].fd, 1, left > 0 ? (int)left : 0) == 1) end(&tries[i]);
    else tell_error(tries[i].what, ETIMEDOUT);
    close(tries[i].fd.fd);
  }
  tries_made = 0;
}
static void end_connect(const struct try* t) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(t->fd.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  tell_error(t->what, error);
}
static void begin_connect(int fd, const char* address, const char* port) {
  union address to;
  const socklen_t size = parse(&to, address, atoi(port));
  fcntl(fd, F_SETFL, O_NONBLOCK);
  if (connect(fd, &to.any, size) == 0 || errno == EINPROGRESS) return begin_try(address, port, fd, POLLOUT);
  char what[128];
  snprintf(what, sizeof what, "%s %s", address, port);
  tell(what, -1);
  close(fd);
}
static int family_of(const char* text) { return strchr(text, ':') ? AF_INET6 : AF_INET; }

static void do_connect(char** a) {
  for (; a[0] && a[1] && tries_made < kMaxTries; a += 2) begin_connect(socket(family_of(a[0]), SOCK_STREAM | SOCK_CLOEXEC, 0), a[0], a[1]);
  wait_for_tries(end_connect);
}
static void end_ask(const struct try* t) {
  char bytes[4096];
  const ssize_t n = recv(t->fd.fd, bytes, sizeof bytes, 0);
  if (n < 0) tell(t->what, -1);
  else print("%s=%zd bytes\n", t->what, n);
}
/* Datagrams of the given bytes (hexadecimal): address, port and bytes of each. */
static void do_ask(char** a) {
  for (; a[0] && a[1] && a[2] && tries_made < kMaxTries; a += 3) {
    char bytes[4096];
    size_t size = 0;
    for (const char* p = a[2]; p[0] && p[1] && size < sizeof bytes; p += 2) {
      const char digits[3] = {p[0], p[1], 0};
      bytes[size++] = (char)strtol(digits, NULL, 16);
    }
    union address to;
    const socklen_t to_size = parse(&to, a[0], atoi(a[1]));
    const int fd = socket(family_of(a[0]), SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &(int){1}, sizeof(int));
    if (sendto(fd, bytes, size, 0, &to.any, to_size) >= 0) {
      begin_try(a[0], a[1], fd, POLLIN);
      continue;
    }
    char what[128];
    snprintf(what, sizeof what, "%s %s", a[0], a[1]);
    tell(what, -1);
    close(fd);
  }
  wait_for_tries(end_ask);
}
static void do_raw(char** a) {
  (void)a;
  tell("icmp", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  tell("ip", socket(AF_INET, SOCK_RAW, IPPROTO_RAW));
  tell("tcp", socket(AF_INET, SOCK_RAW, IPPROTO_TCP));
  tell("icmp6", socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
  tell("ping", socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
}
/* A packet whose source is another's, by each way that a socket has. */
static void do_spoof(char** a) {
  const char *source = a[0], *target = a[1];
  union address from;
  const socklen_t size = parse(&from, source, 0);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  tell("bind", bind(fd, &from.any, size));
  tell("transparent", setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &(int){1}, sizeof(int)));
  setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &(int){1}, sizeof(int));
  tell("freebind", bind(fd, &from.any, size));
  begin_connect(fd, target, "80");
  wait_for_tries(end_connect);
  fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  struct {
    struct iphdr ip;
    char payload[8];
  } packet = {.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .tot_len = htons(28)}};
  packet.ip.saddr = from.v4.sin_addr.s_addr;
  union address to;
  const socklen_t to_size = parse(&to, target, 0);
  packet.ip.daddr = to.v4.sin_addr.s_addr;
  tell("raw", sendto(fd, &packet, sizeof packet, 0, &to.any, to_size));
}
/* Says by ARP that an address is here, to everyone on the link, as an answer that nobody asked for. */
static void do_arp(char** a) {
  const int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ARP));
  tell("packet", fd);
  struct {
    struct ether_header ethernet;
    struct arphdr arp;
    unsigned char sender[6], sender_ip[4], target[6], target_ip[4];
  } __attribute__((packed)) frame = {.ethernet = {.ether_dhost = {255, 255, 255, 255, 255, 255}, .ether_shost = {2, 0, 0, 0, 0, 66}, .ether_type = htons(ETH_P_ARP)},
                                     .arp = {htons(ARPHRD_ETHER), htons(ETH_P_IP), 6, 4, htons(ARPOP_REPLY)}, .sender = {2, 0, 0, 0, 0, 66}};
  inet_pton(AF_INET, *a, frame.sender_ip);
  inet_pton(AF_INET, *a, frame.target_ip);
  const struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("eth0"), .sll_halen = 6};
  tell("send", sendto(fd, &frame, sizeof frame, 0, (const struct sockaddr*)&to, sizeof to));
}
/* Loose source routing: the packet's own destination is one that is allowed, its next another. */
static void do_source_route(char** a) {
  unsigned char option[8] = {IPOPT_LSRR, 7, 4, 0, 0, 0, 0, IPOPT_END};
  inet_pton(AF_INET, a[0], option + 3);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  tell("option", setsockopt(fd, IPPROTO_IP, IP_OPTIONS, option, sizeof option));
  begin_connect(fd, a[1], a[2]);
  wait_for_tries(end_connect);
}

static void ask_kernel(const char* what, uint16_t type, const void* body, size_t size) {
  struct {
    struct nlmsghdr header;
    char body[64];
  } message = {.header = {.nlmsg_len = (uint32_t)NLMSG_LENGTH(size), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, .nlmsg_seq = 1}};
  memcpy(message.body, body, size);
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
    char rest[256];
  } result;
  if (fd < 0 || send(fd, &message, message.header.nlmsg_len, 0) < 0 || recv(fd, &result, sizeof result, 0) < 0) return tell(what, -1);
  errno = -result.error.error;
  tell(what, result.error.error ? -1 : 0);
  close(fd);
}
static void do_configure(char** a) {
  (void)a;
  const unsigned eth0 = if_nametoindex("eth0");
  ask_kernel("link-down", RTM_NEWLINK, &(struct ifinfomsg){.ifi_index = (int)eth0, .ifi_change = IFF_UP}, sizeof(struct ifinfomsg));
  ask_kernel("add-route", RTM_NEWROUTE, &(struct rtmsg){.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_BLACKHOLE}, sizeof(struct rtmsg));
  ask_kernel("add-address", RTM_NEWADDR, &(struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = eth0}, sizeof(struct ifaddrmsg));
  ask_kernel("add-neighbour", RTM_NEWNEIGH, &(struct ndmsg){.ndm_family = AF_INET, .ndm_ifindex = (int)eth0}, sizeof(struct ndmsg));
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq request = {.ifr_name = "eth0", .ifr_flags = IFF_UP | IFF_PROMISC};
  tell("promiscuous", ioctl(fd, SIOCSIFFLAGS, &request));
  tell("arp-entry", ioctl(fd, SIOCSARP, &(struct arpreq){.arp_flags = ATF_PERM}));
  tell("mark", setsockopt(fd, SOL_SOCKET, SO_MARK, &(int){1}, sizeof(int)));
  tell("priority", setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &(int){7}, sizeof(int)));
  tell("force-buffer", setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){1 << 30}, sizeof(int)));
  tell("iptables", setsockopt(socket(AF_INET, SOCK_STREAM, 0), IPPROTO_IP, 64 /* IPT_SO_SET_REPLACE */, "", 1));
}
/* Connections to one place, each kept. */
static void do_connections(char** a) {
  const long wanted = atol(a[2]);
  union address to;
  const socklen_t size = parse(&to, a[0], atoi(a[1]));
  long made = 0;
  while (made < wanted && connect(socket(AF_INET, SOCK_STREAM, 0), &to.any, size) == 0) ++made;
  const int error = made < wanted ? errno : 0;
  tell_number("made", made);
  tell_error("end", error);
  if (error) hold_on();
}
/* Datagrams to as many ports: each is a flow that the host remembers. */
static void do_flows(char** a) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  long sent = 0;
  for (long i = 0; i < atol(a[1]); ++i) {
    union address to;
    const socklen_t size = parse(&to, a[0], 10000 + (int)i);
    sent += sendto(fd, "", 1, 0, &to.any, size) == 1;
  }
  tell_number("sent", sent);
}
static void do_listen(char** a) {
  const union address any = {.v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(*a))}};
  const int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
  tell("tcp", bind(tcp, &any.any, sizeof any.v4) != 0 ? -1 : listen(tcp, 16));
  tell("udp", bind(udp, &any.any, sizeof any.v4));
  hold_on();
}

const struct attack network_attacks[] = {{"connect", do_connect}, {"ask", do_ask}, {"raw", do_raw}, {"spoof", do_spoof}, {"arp", do_arp},
                                         {"source-route", do_source_route}, {"configure", do_configure}, {"listen", do_listen},
                                         {"connections", do_connections}, {"flows", do_flows}, {NULL, NULL}};
