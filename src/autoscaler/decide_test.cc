#include "autoscaler/decide.h"

#include <gtest/gtest.h>

namespace skerry::autoscaler {
namespace {

using namespace std::chrono_literals;
const TimePoint kNow{1000s};

struct Case {
  const char* rule;
  Load load;
  int64_t wanted;
};
class StartsWanted : public ::testing::TestWithParam<Case> {};
TEST_P(StartsWanted, FollowsTheTable) { EXPECT_EQ(starts_wanted(GetParam().load, kNow), GetParam().wanted) << GetParam().rule; }
INSTANTIATE_TEST_SUITE_P(Table, StartsWanted,
                         ::testing::Values(Case{"nothing waits", {.max_instances = 10}, 0}, Case{"each waiter has a start", {.waiting = 3, .max_instances = 10}, 3},
                                           Case{"starts under way count", {.waiting = 3, .starting = 2, .max_instances = 10}, 1},
                                           Case{"never past the maximum", {.waiting = 9, .starting = 1, .live = 3, .max_instances = 5}, 1},
                                           Case{"full", {.waiting = 9, .live = 5, .max_instances = 5}, 0},
                                           Case{"places are shared", {.waiting = 9, .concurrency = 4, .max_instances = 5}, 3},
                                           Case{"the minimum is kept", {.live = 1, .min_instances = 3, .max_instances = 5}, 2},
                                           Case{"backing off", {.waiting = 1, .max_instances = 5, .no_start_before = kNow + 1ns}, 0},
                                           Case{"backed off long enough", {.waiting = 1, .max_instances = 5, .no_start_before = kNow}, 1}));

TEST(MayRetire, KeepsTheMinimumAndTheYoung) {
  Load load{.live = 2, .min_instances = 1, .max_instances = 5};
  EXPECT_TRUE(may_retire(load, kNow - 60s, 60s, kNow));
  EXPECT_FALSE(may_retire(load, kNow - 59s, 60s, kNow));
  load.live = 1;
  EXPECT_FALSE(may_retire(load, kNow - 3600s, 60s, kNow));
}

TEST(StartBackoff, DoublesUpToItsBound) {
  EXPECT_EQ(start_backoff(1), 200ms);
  EXPECT_EQ(start_backoff(2), 400ms);
  EXPECT_EQ(start_backoff(100), 30s);
}

}  // namespace
}  // namespace skerry::autoscaler
