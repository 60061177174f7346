#include "schedule.h"

#include <gtest/gtest.h>

namespace loadgen {
namespace {

constexpr uint64_t kMs = 1'000'000;

TEST(Schedule, GivesEachRequestItsOwnDueTime) {
  Schedule s(100 * kMs, 110 * kMs, 1000, kMs);
  EXPECT_EQ(s.total(), 10u);
  EXPECT_EQ(s.take(100 * kMs - 1), std::nullopt);
  EXPECT_EQ(s.take(100 * kMs), 100 * kMs);
  EXPECT_EQ(s.take(100 * kMs), std::nullopt);
  EXPECT_EQ(s.next_time(), 101 * kMs);
}

TEST(Schedule, LatencyOfALateRequestCountsFromItsDueTime) {
  Schedule s(0, 10 * kMs, 1000, 5 * kMs);
  EXPECT_EQ(s.take(3 * kMs), 0u);
  EXPECT_EQ(s.take(3 * kMs), kMs);
  EXPECT_EQ(s.unsent(), 0u);
}

TEST(Schedule, CountsWhatWaitedTooLong) {
  Schedule s(0, 10 * kMs, 1000, 2 * kMs);
  EXPECT_EQ(s.take(5 * kMs), 3 * kMs);  // those of 0, 1 and 2 ms are given up
  EXPECT_EQ(s.unsent(), 3u);
}

TEST(Schedule, CountsWhatWasLeftAtTheEnd) {
  Schedule s(0, 10 * kMs, 1000, 100 * kMs);
  EXPECT_TRUE(s.take(9 * kMs));
  s.finish();
  EXPECT_EQ(s.unsent(), 9u);
  EXPECT_EQ(s.take(20 * kMs), std::nullopt);
  EXPECT_EQ(s.next_time(), std::nullopt);
}

TEST(Schedule, DoesNotDriftAtOddRates) {
  Schedule s(0, 3000 * kMs, 333.3, kMs);
  EXPECT_EQ(s.total(), 999u);
  EXPECT_NEAR(static_cast<double>(s.time_of(999)), 999e9 / 333.3, 1);
}

}  // namespace
}  // namespace loadgen
