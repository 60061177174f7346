#include "sandboxd/firewall.h"

#include <gtest/gtest.h>

namespace skerry::sandbox {
namespace {

Settings settings() {
  Settings s;
  s.tag = "abc";
  s.subnet = 0xC6120000;  // 198.18.0.0
  return s;
}

TEST(Firewall, TouchesItsOwnTableAndInterfacesOnly) {
  const std::string rules = firewall_rules(settings());
  EXPECT_TRUE(rules.starts_with("add table inet abc\ndelete table inet abc\n")) << rules;
  EXPECT_EQ(rules.find("sk-"), std::string::npos);
  EXPECT_EQ(rules.find("skerry"), std::string::npos);
  // Nothing but established answers and our own interfaces is ever dropped: policies stay open for the host.
  EXPECT_EQ(rules.find("policy drop"), std::string::npos);
}

TEST(Firewall, ClosesThePrivateRangesBeforeItOpensTheRest) {
  std::string rules = firewall_rules(settings());
  rules.erase(0, rules.find("  chain outbound {"));
  const size_t closed = rules.find("10.0.0.0/8, 100.64.0.0/10"), mail = rules.find("tcp dport 25 drop"), open = rules.find("    accept\n");
  ASSERT_NE(open, std::string::npos);
  EXPECT_LT(closed, open);
  EXPECT_LT(mail, open);
  for (const char* range : {"169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "198.18.0.0/15", "224.0.0.0/3"})
    EXPECT_LT(rules.find(range), open) << range;
}

TEST(Firewall, CountsFlowsBeforeItOpensAny) {
  const std::string all = firewall_rules(settings());
  for (const char* chain : {"  chain outbound {", "  chain opened {"}) {
    const std::string rules = all.substr(all.find(chain));
    const size_t open = rules.find(" accept\n", rules.find("established,related accept\n") + 20);
    ASSERT_NE(open, std::string::npos);
    EXPECT_LT(rules.find("ct count over 100 } reject"), open);
    EXPECT_LT(rules.find("ct count over 1024 } drop"), open);
  }
}

EgressPolicy policy(std::initializer_list<std::string_view> allow, std::initializer_list<std::string_view> deny) {
  EgressPolicy p;
  for (const std::string_view text : allow) p.allow.push_back(*parse_egress_rule(text));
  for (const std::string_view text : deny) p.deny.push_back(*parse_egress_rule(text));
  p.normalise();
  return p;
}

TEST(Firewall, APolicyDropsWhatItDeniesFirstAndWithAnAllowListAllTheRest) {
  EXPECT_EQ(policy_rules(policy({}, {"203.0.113.9", "0.0.0.0/0:25"}), {}),
            "    meta nfproto ipv4 ip daddr { 203.0.113.9 } drop\n    meta nfproto ipv4 meta l4proto { tcp, udp } th dport 25 drop\n    return\n");
  EXPECT_EQ(policy_rules(policy({"203.0.113.0/24:443", "198.51.100.7:443", "udp/192.0.2.0/24:8000-8100"}, {"203.0.113.9"}), {}),
            "    meta nfproto ipv4 ip daddr { 203.0.113.9 } drop\n"
            "    meta nfproto ipv4 ip daddr { 198.51.100.7, 203.0.113.0/24 } meta l4proto { tcp, udp } th dport 443 return\n"
            "    meta nfproto ipv4 ip daddr { 192.0.2.0/24 } meta l4proto udp th dport 8000-8100 return\n"
            "    drop\n");
  EXPECT_EQ(policy_rules(policy({}, {"tcp/[2001:db8::/32]:80", "::/0"}), {}), "    meta nfproto ipv6 drop\n    return\n");
}

TEST(Firewall, OnlyWhatTheOperatorOpenedPassesTheClosedRanges) {
  const auto open = policy({"10.1.0.0/16"}, {}).allow;
  const EgressPolicy named = policy({"10.1.2.3:5432", "10.2.0.1"}, {});
  EXPECT_NE(policy_rules(named, open).find("{ 10.1.2.3 } meta l4proto { tcp, udp } th dport 5432 goto opened\n"), std::string::npos);
  EXPECT_NE(policy_rules(named, open).find("{ 10.2.0.1 } return\n"), std::string::npos);
  EXPECT_EQ(policy_rules(named, {}).find("opened"), std::string::npos);
  EXPECT_EQ(policy_rules(policy({"0.0.0.0/0"}, {}), open).find("opened"), std::string::npos);
}

TEST(Firewall, IsLoadedWithThePoliciesOfWhatLives) {
  HeldSlots held;
  held.policies[3] = policy({"203.0.113.7"}, {});
  held.slots = {{1, 3}, {16000, 3}};
  const std::string rules = firewall_rules(settings(), held);
  EXPECT_NE(rules.find("elements = { 198.18.128.1 : goto policy_3, 198.18.190.128 : goto policy_3 }\n"), std::string::npos) << rules;
  EXPECT_LT(rules.find("  chain policy_3 {"), rules.find("  chain held {"));
  EXPECT_NE(rules.find("    ip saddr vmap @policies\n    drop\n"), std::string::npos);
  // Asked before a connection that is established passes.
  EXPECT_LT(rules.find("ip saddr 198.18.128.0/17 jump held\n"), rules.find("established,related accept\n", rules.find("  chain outbound {")));
}

TEST(Firewall, AddressesOfBothKindsOfSlotsAreApart) {
  EXPECT_LT(settings().address(kMaxSlotIndex), settings().held_address(0));
  EXPECT_LT(settings().held_address(kMaxSlotIndex), settings().subnet + 65536);
}

TEST(Firewall, CapsWhatEachAddressSendsAndReceives) {
  Settings s = settings();
  s.bandwidth_bits = 80'000'000;
  const std::string rules = firewall_rules(s);
  EXPECT_NE(rules.find("@sent { ip saddr limit rate over 10000 kbytes/second burst 64 kbytes } drop"), std::string::npos);
  EXPECT_NE(rules.find("@received { ip daddr limit rate over 10000 kbytes/second burst 64 kbytes } drop"), std::string::npos);
}

TEST(Firewall, OpensNamesAndIngressOfTheHostToContainersAndNothingElse) {
  Settings s = settings();
  s.https_port = 9443;
  const std::string rules = firewall_rules(s);
  const size_t begin = rules.find("chain service {"), end = rules.find("chain incoming {");
  ASSERT_LT(begin, end);
  const std::string service = rules.substr(begin, end - begin);
  EXPECT_NE(service.find("tcp dport { 53, 9443 } accept\n    drop\n"), std::string::npos) << service;
  // Counted before it is opened; what the host began is nobody's to answer.
  EXPECT_LT(service.find("ct count over 100 "), service.find("tcp dport"));
  EXPECT_NE(service.find("established ct direction original accept\n    ct state != new drop"), std::string::npos);
  EXPECT_LT(service.find("limit rate over 500/second"), service.find("udp dport 53 accept"));
  const std::string incoming = rules.substr(end, rules.find('}', end) - end);
  EXPECT_NE(incoming.find("iifname \"abc-*\" ip daddr 198.18.0.1 ip saddr 198.18.0.0/16 jump service\n    iifname \"abc-*\" drop\n"), std::string::npos) << incoming;
  EXPECT_NE(incoming.find("iifname != \"lo\" ip daddr 198.18.0.1 drop"), std::string::npos) << incoming;
  EXPECT_EQ(rules.find("dnat"), std::string::npos);
}

}  // namespace
}  // namespace skerry::sandbox
