#include "sandboxd/settings.h"

#include <gtest/gtest.h>
#include <net/if.h>

#include <vector>

namespace skerry::sandbox {
namespace {

Result<Settings> parse(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  return parse_settings(static_cast<int>(arguments.size()), argv.data());
}

Result<Settings> with(std::string name, std::string value) {
  std::string program = "skerry-sandboxd", role = "filler";
  char* argv[] = {program.data(), role.data(), name.data(), value.data()};
  return parse_settings(4, argv);
}

TEST(Settings, OpenRangesAndTheRateAreBounded) {
  const auto open = with("--open", "10.1.0.0/16,192.168.1.7:5432");
  ASSERT_TRUE(open);
  EXPECT_EQ(open->open.size(), 2U);
  EXPECT_TRUE(with("--open", "")->open.empty());
  for (const char* bad : {"203.0.113.7", "198.18.0.1", "127.0.0.1", ",10.1.0.0/16", "x"}) EXPECT_FALSE(with("--open", bad)) << bad;
  EXPECT_EQ(with("--bandwidth-mbit", "1")->bandwidth_bits, 1'000'000U);
  EXPECT_EQ(with("--bandwidth-mbit", "100000")->bandwidth_bits, kMaxBandwidthBits);
  for (const char* bad : {"0", "100001", "-1", "x", ""}) EXPECT_FALSE(with("--bandwidth-mbit", bad)) << bad;
}

TEST(Settings, ReadsItsOptions) {
  const auto s = parse({"skerry-sandboxd", "starter", "--run-dir", "/r", "--state-dir", "/s", "--edge-uid", "7", "--control-gid", "8", "--tag", "abc", "--subnet", "10.5.0.0/16"});
  ASSERT_TRUE(s);
  EXPECT_EQ(s->role, "starter");
  EXPECT_EQ(s->instances_dir(), "/r/instances");
  EXPECT_EQ(s->layers_dir(), "/s/layers");
  EXPECT_EQ(s->edge_uid, 7U);
  EXPECT_EQ(s->control_gid, 8U);
  EXPECT_EQ(address_text(s->gateway()), "10.5.0.1");
}

TEST(Settings, RefusesWhatItDoesNotKnow) {
  for (const std::vector<std::string>& bad : {std::vector<std::string>{"p"},
                                              {"p", "starter", "--nothing", "1"},
                                              {"p", "starter", "--tag"},
                                              {"p", "starter", "--edge-uid", "12x"},
                                              {"p", "starter", "--edge-uid", "-1"},
                                              {"p", "starter", "--edge-uid", "4294967296"},
                                              {"p", "starter", "--subnet", "10.5.0.0/24"},
                                              {"p", "starter", "--subnet", "10.5.1.0/16"},
                                              {"p", "starter", "--subnet", "x/16"},
                                              {"p", "starter", "--tag", ""},
                                              {"p", "starter", "--tag", "a b"},
                                              {"p", "starter", "--tag", "A"},
                                              {"p", "starter", "--tag", "a-b"},
                                              {"p", "starter", "--tag", "sk"}})
    EXPECT_FALSE(parse(bad)) << fmt::format("{}", fmt::join(bad, " "));
}

TEST(Settings, InterfaceNamesFitTheKernelAtTheLongestTagAndNoLonger) {
  const std::string longest(kMaxTagBytes, 'a');
  const auto s = parse({"p", "filler", "--tag", longest});
  ASSERT_TRUE(s);
  EXPECT_LT(s->interface_name(kMaxSlotIndex).size(), size_t{IFNAMSIZ});
  EXPECT_FALSE(parse({"p", "filler", "--tag", longest + "a"}));
}

TEST(Settings, RangesOfIdsNeverMeet) {
  EXPECT_EQ(slot_id_base(1) - slot_id_base(0), kIdsPerRange);
  EXPECT_GE(slot_id_base(1), 1U << 28);                                             // above every user of a host
  EXPECT_LE(uint64_t{slot_id_base(kMaxSlotIndex)} + kIdsPerRange, kLayerIdBase);    // below the layers
  EXPECT_LT(uint64_t{kLayerIdBase} + kIdsPerRange, uint64_t{1} << 31);              // some tools take ids for signed
}

TEST(Settings, AddressesStayInTheSubnetAndOffTheGateway) {
  const auto s = parse({"p", "filler", "--subnet", "198.18.0.0/16"});
  ASSERT_TRUE(s);
  EXPECT_EQ(address_text(s->address(1)), "198.18.1.1");
  EXPECT_EQ(s->address(kMaxSlotIndex) >> 16, s->gateway() >> 16);
  EXPECT_NE(s->address(1), s->gateway());
}

TEST(Settings, GroupNamesAndIndexesAreOneToOne) {
  for (const uint32_t index : {1U, 9U, 10U, kMaxSlotIndex}) EXPECT_EQ(Settings::group_index(Settings::group_name(index)), index);
  for (const char* other : {"", "s", "s0", "s01", "x1", "s1x", "s-1", "s 1", "1", "s99999999999"}) EXPECT_EQ(Settings::group_index(other), 0U) << other;
  EXPECT_EQ(Settings::group_index(Settings::group_name(kMaxSlotIndex + 1)), 0U);
}

}  // namespace
}  // namespace skerry::sandbox
