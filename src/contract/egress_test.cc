#include "contract/egress.h"

#include <gtest/gtest.h>

#include "contract/plan.h"
#include "contract/sandbox_messages.h"

namespace skerry {
namespace {

EgressRule rule(std::string_view text) {
  const auto parsed = parse_egress_rule(text);
  EXPECT_TRUE(parsed) << text << " " << (parsed ? "" : parsed.error().message);
  return parsed.value_or(EgressRule{});
}
std::vector<EgressRule> rules(std::initializer_list<std::string_view> texts) {
  std::vector<EgressRule> out;
  for (const std::string_view text : texts) out.push_back(rule(text));
  return out;
}
std::vector<std::string> texts(const std::vector<EgressRule>& list) {
  std::vector<std::string> out;
  for (const EgressRule& r : list) out.push_back(r.text());
  return out;
}
std::string complaint(std::string_view text) {
  const auto parsed = parse_egress_rule(text);
  return parsed ? "" : parsed.error().message + " | " + parsed.error().fix;
}

TEST(EgressRule, IsTheTextThatItWasReadFrom) {
  for (const char* text : {"203.0.113.7", "203.0.113.0/24", "203.0.113.0/24:443", "198.51.100.7:8000-8100", "tcp/203.0.113.7", "udp/203.0.113.7:53", "0.0.0.0/0", "0.0.0.0/0:1-65535",
                           "2001:db8::/32", "[2001:db8::/32]:443", "tcp/[2001:db8::1]:1-2", "::/0"})
    EXPECT_EQ(rule(text).text(), text);
  EXPECT_EQ(rule("203.0.113.7/32").text(), "203.0.113.7");
  EXPECT_EQ(rule("203.0.113.7:80-80").text(), "203.0.113.7:80");
  EXPECT_EQ(rule("[2001:DB8::1]").text(), "2001:db8::1");
  EXPECT_EQ(rule("tcp/[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127]:65534-65535").text().size(), 61U);
}

TEST(EgressRule, SaysWhatIsWrongAndWhatToWrite) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "is empty"},
      {"api.example.com", "not names"},
      {"*", "not names"},
      {"http://203.0.113.7", "not names"},
      {"203.0.113", "not an IPv4"},
      {"203.0.113.7.1", "not an IPv4"},
      {"010.0.0.1", "not an IPv4"},
      {"203.0.113.7/24", "\"203.0.113.0/24\""},
      {"2001:db8::1/32", "\"2001:db8::/32\""},
      {"203.0.113.0/33", "0 to 32"},
      {"2001:db8::/129", "0 to 128"},
      {"203.0.113.0/", "0 to 32"},
      {"203.0.113.0/-1", "0 to 32"},
      {"203.0.113.7:0", "1 to 65535"},
      {"203.0.113.7:65536", "1 to 65535"},
      {"203.0.113.7:", "1 to 65535"},
      {"203.0.113.7:80-", "1 to 65535"},
      {"203.0.113.7:https", "1 to 65535"},
      {"203.0.113.7: 80", "1 to 65535"},
      {"203.0.113.7:90-80", "80-90"},
      {"[203.0.113.7]:80", "no IPv6"},
      {"[2001:db8::]/32:443", "[2001:db8::/32]:443"},
      {"[2001:db8::", "without its ]"},
      {"[2001:db8::1]443", ":PORT"},
      {"::ffff:10.0.0.1", "a.b.c.d"},
      {"sctp/203.0.113.7", "not names"},
  };
  for (const auto& [text, expected] : cases) EXPECT_NE(complaint(text).find(expected), std::string::npos) << text << ": " << complaint(text);
  EXPECT_FALSE(parse_egress_rule(std::string_view("203.0.113.7\0", 12)));
  EXPECT_FALSE(parse_egress_rule(std::string(kMaxEgressTextBytes + 1, '1')));
}

TEST(EgressRule, CoversWhatItNamesAndNoMore) {
  const auto covers = [](std::string_view a, std::string_view b) { return rule(a).covers(rule(b)); };
  EXPECT_TRUE(covers("203.0.113.0/24", "203.0.113.7:443"));
  EXPECT_TRUE(covers("203.0.113.0/24:80-443", "203.0.113.128/25:443"));
  EXPECT_TRUE(covers("203.0.113.0/24:443", "udp/203.0.113.7:443"));
  EXPECT_TRUE(covers("0.0.0.0/0", "203.0.113.7"));
  EXPECT_FALSE(covers("203.0.113.7:443", "203.0.113.7"));
  EXPECT_FALSE(covers("203.0.113.0/24:1-65535", "203.0.113.7"));  // ICMP has no ports
  EXPECT_FALSE(covers("tcp/203.0.113.7", "203.0.113.7:443"));
  EXPECT_FALSE(covers("203.0.113.128/25", "203.0.113.0/24"));
  EXPECT_FALSE(covers("0.0.0.0/0", "2001:db8::1"));
  EXPECT_FALSE(covers("::/0", "203.0.113.7"));
}

TEST(EgressPolicy, HasOneForm) {
  EgressPolicy a, b;
  a.allow = rules({"203.0.113.9:443", "203.0.113.0/24:443", "203.0.113.0/24:443", "198.51.100.7", "tcp/198.51.100.7:80", "203.0.113.9:80"});
  b.allow = rules({"198.51.100.7", "203.0.113.9:80", "203.0.113.0/24:443"});
  a.normalise();
  b.normalise();
  EXPECT_EQ(texts(a.allow), (std::vector<std::string>{"198.51.100.7", "203.0.113.9:80", "203.0.113.0/24:443"}));
  EXPECT_EQ(a.encode(), b.encode());
}

TEST(EgressPolicy, ComesBackAsItWasAndInNoOtherForm) {
  EgressPolicy policy;
  policy.allow = rules({"203.0.113.0/24:443", "198.51.100.7"});
  policy.deny = rules({"203.0.113.9", "[2001:db8::/32]:25"});
  policy.normalise();
  const std::string bytes = policy.encode();
  const auto back = EgressPolicy::decode(bytes);
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(*back, policy);
  for (size_t n = 1; n < bytes.size(); ++n) EXPECT_FALSE(EgressPolicy::decode(std::string_view(bytes).substr(0, n))) << n;
  EXPECT_FALSE(EgressPolicy::decode(bytes + "x"));
  EXPECT_FALSE(EgressPolicy::decode(std::string_view("\0\0", 2)));  // nothing is said with nothing
  EXPECT_TRUE(EgressPolicy::decode("")->empty());
  EgressPolicy unsorted = policy;
  std::swap(unsorted.allow[0], unsorted.allow[1]);
  EXPECT_FALSE(EgressPolicy::decode(unsorted.encode()));
  EgressPolicy doubled = policy;
  doubled.allow.insert(doubled.allow.begin(), doubled.allow[0]);
  EXPECT_FALSE(EgressPolicy::decode(doubled.encode()));
  for (auto change : {+[](EgressRule& r) { r.prefix = 33; }, +[](EgressRule& r) { r.prefix = 8; }, +[](EgressRule& r) { r.last_port = 1; },
                      +[](EgressRule& r) { r.first_port = 9, r.last_port = 8; }, +[](EgressRule& r) { r.protocol = EgressRule::Protocol{3}; }, +[](EgressRule& r) { r.family = EgressRule::Family{2}; }}) {
    EgressPolicy bad;
    bad.allow = rules({"198.51.100.7"});
    change(bad.allow[0]);
    EXPECT_FALSE(EgressPolicy::decode(bad.encode()));
  }
}

TEST(EgressPolicy, HoldsSoManyRulesAndNoneMore) {
  EgressPolicy policy;
  for (size_t i = 0; i < kMaxEgressRules; ++i) policy.allow.push_back(rule(fmt::format("[2001:db8::{:x}]:443", i + 1)));
  policy.deny = policy.allow;
  policy.normalise();
  EXPECT_EQ(policy.encode().size(), kMaxPolicyBytes);
  EXPECT_TRUE(EgressPolicy::decode(policy.encode()));
  policy.deny.push_back(rule("[2001:db8::ffff]:443"));
  EXPECT_FALSE(EgressPolicy::decode(policy.encode()));
}

TEST(EgressPolicy, ListsOfThemAreBounded) {
  EgressPolicy policy;
  policy.deny = rules({"198.51.100.7"});
  EXPECT_TRUE(sandbox::decode_policies(sandbox::encode_policies(std::vector(sandbox::kMaxPolicyOrders, policy))));
  EXPECT_FALSE(sandbox::decode_policies(sandbox::encode_policies(std::vector(sandbox::kMaxPolicyOrders + 1, policy))));
  EXPECT_FALSE(sandbox::decode_policies(sandbox::encode_policies({EgressPolicy{}})));
}

TEST(EgressPolicy, OfAPlanNeedsANetworkAndIsTheSparesToo) {
  StartPlan plan;
  plan.id = "01hv8z2k3m4n5p6q7r8s9tavwx";
  plan.layers = {*Digest::parse("sha256:" + std::string(64, 'a'))};
  plan.argv = {"/bin/x"};
  plan.transport = Transport::kUnix;
  plan.runtime_layers = 1;
  plan.egress.deny = rules({"198.51.100.7"});
  const auto back = StartPlan::decode(plan.encode());
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->egress, plan.egress);
  EXPECT_EQ(spare_of(plan, plan.id).egress, plan.egress);
  StartPlan plain = plan;
  plain.egress = {};
  EXPECT_NE(spare_of(plan, plan.id).encode(), spare_of(plain, plan.id).encode());
  plan.network = Network::kNone;
  EXPECT_FALSE(StartPlan::decode(plan.encode()));
}

TEST(EgressAllow, RefusesWhatIsNeverReachedWithTheReason) {
  const auto reason = [](std::string_view text, std::initializer_list<std::string_view> open = {}) {
    const auto checked = check_egress_allow(rule(text), rules(open));
    return checked ? std::string() : checked.error().message();
  };
  for (const char* fine : {"203.0.113.7", "0.0.0.0/0", "0.0.0.0/0:443", "203.0.113.7:20-30", "udp/203.0.113.7:25", "8.0.0.0/6"}) EXPECT_EQ(reason(fine), "") << fine;
  for (const std::string_view closed : kClosedNetworks) EXPECT_NE(reason(closed).find(closed), std::string::npos) << closed;
  for (const char* inside : {"10.1.2.3:5432", "169.254.169.254:80", "198.18.0.1", "192.168.0.0/24", "255.255.255.255"}) EXPECT_NE(reason(inside).find("closes"), std::string::npos) << inside;
  EXPECT_NE(reason("203.0.113.7:25").find("mail"), std::string::npos);
  EXPECT_NE(reason("tcp/0.0.0.0/0:25").find("mail"), std::string::npos);
  EXPECT_NE(reason("2001:db8::1").find("no IPv6"), std::string::npos);
  EXPECT_EQ(reason("10.1.2.3:5432", {"10.1.0.0/16"}), "");
  EXPECT_EQ(reason("10.1.2.3:5432", {"10.2.0.0/16", "10.1.2.3:5432"}), "");
  EXPECT_NE(reason("10.1.2.3", {"10.1.2.3:5432"}), "");
  EXPECT_NE(reason("10.2.0.1", {"10.1.0.0/16"}), "");
}

TEST(EgressOpen, IsWhatIsClosedAndNeverTheHostOrTheContainers) {
  const auto why = [](std::vector<std::string> list) {
    const auto open = read_egress_open(list, "198.18.0.0/16");
    return open ? std::string() : open.error().message();
  };
  EXPECT_EQ(why({"10.1.0.0/16", "192.168.1.7:5432", "198.19.0.0/16"}), "");
  EXPECT_EQ(why({}), "");
  for (const char* never : {"127.0.0.1", "0.0.0.0/8", "224.0.0.1", "198.18.0.1", "198.18.200.0/24"}) EXPECT_NE(why({never}).find("never opened"), std::string::npos) << never;
  EXPECT_NE(why({"198.18.0.0/15"}).find("never opened"), std::string::npos);  // the containers are in it
  EXPECT_NE(why({"203.0.113.7"}).find("not within"), std::string::npos);
  EXPECT_NE(why({"10.0.0.0/7"}).find("not within"), std::string::npos);
  EXPECT_NE(why({"::/0"}).find("not within"), std::string::npos);
  EXPECT_NE(why({"10.1.0.1/16"}).find("10.1.0.0/16"), std::string::npos);
  EXPECT_EQ(why(std::vector<std::string>(kMaxEgressRules, "10.1.0.0/16")), "");
  EXPECT_NE(why(std::vector<std::string>(kMaxEgressRules + 1, "10.1.0.0/16")), "");
}

}  // namespace
}  // namespace skerry
