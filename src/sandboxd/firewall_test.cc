#include "sandboxd/firewall.h"

#include <gtest/gtest.h>

namespace skerry::sandbox {
namespace {

TEST(Resolver, IsTheFirstThatAPacketCanBeSentTo) {
  EXPECT_EQ(usable_resolver("nameserver 10.0.0.53\nnameserver 1.1.1.1\n"), "10.0.0.53");
  EXPECT_EQ(usable_resolver("# nameserver 9.9.9.9\nsearch x\nnameserver 127.0.0.53\nnameserver\t1.1.1.1 # comment"), "1.1.1.1");
  EXPECT_EQ(usable_resolver("nameserver ::1\nnameserver fe80::1\nnameserver 1.1.1.1\r\n"), "1.1.1.1");
}

TEST(Resolver, IsNoneWhereThereIsNone) {
  for (const char* text : {"", "nameserver", "nameserver ", "nameserver 127.0.0.1\n", "nameserver 1.1.1\n", "nameserver 1.1.1.1; drop\n", "options edns0"})
    EXPECT_EQ(usable_resolver(text), "") << text;
}

Settings settings() {
  Settings s;
  s.tag = "abc";
  s.subnet = 0xC6120000;  // 198.18.0.0
  return s;
}

TEST(Firewall, TouchesItsOwnTableAndInterfacesOnly) {
  const std::string rules = firewall_rules(settings(), "10.0.0.53");
  EXPECT_TRUE(rules.starts_with("add table inet abc\ndelete table inet abc\n")) << rules;
  EXPECT_EQ(rules.find("sk-"), std::string::npos);
  EXPECT_EQ(rules.find("skerry"), std::string::npos);
  // Nothing but established answers and our own interfaces is ever dropped: policies stay open for the host.
  EXPECT_EQ(rules.find("policy drop"), std::string::npos);
}

TEST(Firewall, ClosesThePrivateRangesBeforeItOpensTheRest) {
  const std::string rules = firewall_rules(settings(), "");
  const size_t closed = rules.find("10.0.0.0/8, 100.64.0.0/10"), mail = rules.find("tcp dport 25 drop"), open = rules.find("    accept\n");
  ASSERT_NE(open, std::string::npos);
  EXPECT_LT(closed, open);
  EXPECT_LT(mail, open);
  for (const char* range : {"169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "198.18.0.0/15", "224.0.0.0/3"})
    EXPECT_LT(rules.find(range), open) << range;
}

TEST(Firewall, CountsFlowsBeforeItOpensAny) {
  const std::string rules = firewall_rules(settings(), "10.0.0.53");
  const size_t open = rules.find(" accept\n", rules.find("established,related accept\n") + 20);
  ASSERT_NE(open, std::string::npos);
  EXPECT_LT(rules.find("ct count over 100 "), open);
  EXPECT_LT(rules.find("ct count over 1024 "), open);
}

TEST(Firewall, OpensTheResolverForTranslatedQuestionsOnly) {
  EXPECT_NE(firewall_rules(settings(), "10.0.0.53").find("ip daddr 10.0.0.53 ct status dnat"), std::string::npos);
  const std::string none = firewall_rules(settings(), "");
  EXPECT_EQ(none.find("dnat ip"), std::string::npos);
  EXPECT_EQ(none.find("dport 53"), std::string::npos);
}

}  // namespace
}  // namespace skerry::sandbox
