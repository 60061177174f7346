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
  const std::string rules = firewall_rules(settings());
  const size_t closed = rules.find("10.0.0.0/8, 100.64.0.0/10"), mail = rules.find("tcp dport 25 drop"), open = rules.find("    accept\n");
  ASSERT_NE(open, std::string::npos);
  EXPECT_LT(closed, open);
  EXPECT_LT(mail, open);
  for (const char* range : {"169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "198.18.0.0/15", "224.0.0.0/3"})
    EXPECT_LT(rules.find(range), open) << range;
}

TEST(Firewall, CountsFlowsBeforeItOpensAny) {
  const std::string rules = firewall_rules(settings());
  const size_t open = rules.find(" accept\n", rules.find("established,related accept\n") + 20);
  ASSERT_NE(open, std::string::npos);
  EXPECT_LT(rules.find("ct count over 100 "), open);
  EXPECT_LT(rules.find("ct count over 1024 "), open);
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
