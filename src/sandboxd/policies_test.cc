#include "sandboxd/policies.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <vector>

namespace skerry::sandbox {
namespace {

std::string policy(int number) {
  EgressPolicy p;
  p.allow = {*parse_egress_rule(fmt::format("203.0.{}.{}:443", number / 256, number % 256))};
  return p.encode();
}

class PoliciesTest : public ::testing::Test {
 protected:
  PoliciesTest() {
    std::string folder = "/tmp/skerry-policies-XXXXXX";
    settings_.run_dir = ::mkdtemp(folder.data());
    settings_.tag = "abc";
    settings_.subnet = 0xC6120000;
    EXPECT_TRUE(policies_.restore());
  }
  ~PoliciesTest() override { std::filesystem::remove_all(settings_.run_dir); }
  PoliciesTest(const PoliciesTest&) = delete;
  PoliciesTest& operator=(const PoliciesTest&) = delete;

  [[nodiscard]] size_t files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(settings_.run_dir + "/egress"), std::filesystem::directory_iterator()));
  }

  Settings settings_;
  Logger logger_{-1, "test", "local"};
  std::vector<std::string> commands_;
  std::set<std::string> interfaces_;
  bool broken_ = false;
  Policies policies_{settings_, logger_,
                     {[this](const std::string& text) -> Result<void> {
                        if (broken_) return fail(ErrorCode::kIo, "nft: no");
                        commands_.push_back(text);
                        return {};
                      },
                      [this](const std::string& name) { return interfaces_.contains(name); }}};
};

TEST_F(PoliciesTest, EqualOnesShareAChain) {
  EXPECT_EQ(policies_.admit(1, policy(1)).value_or(""), "policy-1");
  EXPECT_EQ(policies_.admit(2, policy(1)).value_or(""), "policy-1");
  EXPECT_EQ(policies_.admit(3, policy(2)).value_or(""), "policy-2");
  EXPECT_NE(commands_[0].find("add chain inet abc policy_1 {"), std::string::npos);
  EXPECT_NE(commands_[0].find("add element inet abc policies { 198.18.128.1 : goto policy_1 }"), std::string::npos);
  EXPECT_EQ(commands_[1], "add element inet abc policies { 198.18.128.2 : goto policy_1 }\n");
  EXPECT_EQ(policies_.count(), 2U);
  EXPECT_EQ(files(), 2U);
}

TEST_F(PoliciesTest, AnIndexThatComesAgainChangesInOneTransaction) {
  ASSERT_TRUE(policies_.admit(1, policy(1)));
  ASSERT_TRUE(policies_.admit(1, policy(2)));
  EXPECT_LT(commands_[1].find("delete element inet abc policies { 198.18.128.1 }"), commands_[1].find("add element inet abc policies { 198.18.128.1 : goto policy_2 }"));
  interfaces_ = {"abc-1"};
  policies_.sweep();  // nobody has the first any more
  EXPECT_EQ(commands_[2], "delete chain inet abc policy_1\n");
  EXPECT_EQ(files(), 1U);
}

TEST_F(PoliciesTest, GoWithTheInterfacesOfTheirSlots) {
  interfaces_ = {"abc-1", "abc-2"};
  ASSERT_TRUE(policies_.admit(1, policy(1)));
  ASSERT_TRUE(policies_.admit(2, policy(2)));
  policies_.sweep();
  EXPECT_EQ(commands_.size(), 2U);
  interfaces_ = {"abc-2"};
  policies_.sweep();
  EXPECT_EQ(commands_[2], "delete element inet abc policies { 198.18.128.1 }\ndelete chain inet abc policy_1\n");
  policies_.leave(2);  // the interface is another slot's now
  policies_.sweep();
  EXPECT_EQ(commands_[3], "delete element inet abc policies { 198.18.128.2 }\ndelete chain inet abc policy_2\n");
  EXPECT_EQ(policies_.count(), 0U);
  EXPECT_EQ(files(), 0U);
  policies_.sweep();
  EXPECT_EQ(commands_.size(), 4U);
}

TEST_F(PoliciesTest, WhatTheKernelRefusesIsNotThere) {
  broken_ = true;
  EXPECT_FALSE(policies_.admit(1, policy(1)));
  EXPECT_EQ(policies_.count(), 0U);
  EXPECT_EQ(files(), 0U);
  broken_ = false;
  ASSERT_TRUE(policies_.admit(1, policy(1)));
  broken_ = true;
  policies_.sweep();  // and what it does not take away stays known
  EXPECT_EQ(policies_.count(), 1U);
  broken_ = false;
  policies_.sweep();
  EXPECT_EQ(policies_.count(), 0U);
}

TEST_F(PoliciesTest, AreBoundedInNumber) {
  for (uint32_t i = 1; i <= Policies::kMaxPolicies; ++i) {
    interfaces_.insert(fmt::format("abc-{}", i));
    ASSERT_TRUE(policies_.admit(i, policy(static_cast<int>(i)))) << i;
  }
  const auto more = policies_.admit(Policies::kMaxPolicies + 1, policy(0));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code(), ErrorCode::kNoCapacity);
  EXPECT_TRUE(policies_.admit(Policies::kMaxPolicies + 1, policy(1)));  // one that is there already
  interfaces_.erase("abc-7");
  EXPECT_EQ(policies_.admit(Policies::kMaxPolicies + 2, policy(0)).value_or(""), "policy-7");
}

TEST_F(PoliciesTest, MoreThanOneSweepLooksAtAll) {
  for (uint32_t i = 1; i <= Policies::kLookedAtInASweep + 1; ++i) ASSERT_TRUE(policies_.admit(i, policy(1)));
  policies_.sweep();
  EXPECT_EQ(policies_.count(), 1U);
  policies_.sweep();
  EXPECT_EQ(policies_.count(), 0U);
}

}  // namespace
}  // namespace skerry::sandbox
