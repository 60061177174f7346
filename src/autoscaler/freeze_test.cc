#include "autoscaler/freeze.h"

#include <gtest/gtest.h>

namespace skerry::autoscaler {
namespace {

using namespace std::chrono_literals;
const TimePoint kNow{1000s};

CpuSample sample(Duration ago, uint64_t used_us) { return {kNow - ago, used_us}; }

struct Case {
  const char* rule;
  Idleness idleness;
  bool freeze;
  std::optional<CpuSample> since;
};
class DecideRest : public ::testing::TestWithParam<Case> {};
TEST_P(DecideRest, FollowsTheTable) {
  const Rest rest = decide_rest(GetParam().idleness);
  EXPECT_EQ(rest.freeze, GetParam().freeze) << GetParam().rule;
  EXPECT_EQ(rest.since, GetParam().since) << GetParam().rule;
}
INSTANTIATE_TEST_SUITE_P(
    Table, DecideRest,
    ::testing::Values(
        Case{"the quiet time begins with the first look", {.now = sample(0s, 70)}, false, sample(0s, 70)},
        Case{"a second that used nothing", {.now = sample(0s, 70), .since = sample(1s, 70)}, true, sample(1s, 70)},
        Case{"just short of a second", {.now = sample(0s, 70), .since = sample(1s - 1ns, 70)}, false, sample(1s - 1ns, 70)},
        Case{"a second that used just less than the bound", {.now = sample(0s, 5069), .since = sample(1s, 70)}, true, sample(1s, 70)},
        Case{"the bound itself is too much, and the second begins again", {.now = sample(0s, 5070), .since = sample(1s, 70)}, false, sample(0s, 5070)},
        Case{"used early in the second", {.now = sample(0s, 9000), .since = sample(250ms, 70)}, false, sample(0s, 9000)},
        Case{"little, for longer", {.now = sample(0s, 4000), .since = sample(60s, 0)}, true, sample(60s, 0)},
        Case{"a request or a stream is in it", {.in_it = 1, .now = sample(0s, 70), .since = sample(9s, 70)}, false, std::nullopt},
        Case{"background", {.background = true, .now = sample(0s, 70), .since = sample(9s, 70)}, false, std::nullopt},
        Case{"its CPU time is not known", {.since = sample(9s, 70)}, false, std::nullopt},
        Case{"a counter that went back", {.now = sample(0s, 10), .since = sample(9s, 70)}, false, sample(0s, 10)}));

// As it is used: looked at four times a second. Three seconds of work, then nothing.
TEST(DecideRest, ComesOneSecondAfterTheLastWork) {
  Idleness idleness;
  for (int look = 0; look <= 20; ++look) {
    const auto at = TimePoint{} + look * 250ms;
    idleness.now = CpuSample{at, static_cast<uint64_t>(std::min(look, 12)) * 6000};
    const Rest rest = decide_rest(idleness);
    ASSERT_EQ(rest.freeze, at >= TimePoint{} + 4s) << look;
    if (rest.freeze) break;
    idleness.since = rest.since;
  }
}

}  // namespace
}  // namespace skerry::autoscaler
