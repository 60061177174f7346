#include "histogram.h"

#include <gtest/gtest.h>

namespace loadgen {
namespace {

TEST(Histogram, IsZeroWithoutSamples) {
  const Histogram h;
  EXPECT_EQ(h.percentile(50), 0u);
  EXPECT_EQ(h.max(), 0u);
  EXPECT_EQ(h.mean(), 0);
}

TEST(Histogram, IsExactForSmallValues) {
  Histogram h;
  for (uint64_t v = 1; v <= 100; ++v) h.record(v);
  EXPECT_EQ(h.percentile(50), 50u);
  EXPECT_EQ(h.percentile(99), 99u);
  EXPECT_EQ(h.percentile(100), 100u);
  EXPECT_DOUBLE_EQ(h.mean(), 50.5);
}

TEST(Histogram, KeepsEveryMagnitudeWithinOneInAHundred) {
  for (uint64_t v = 1; v < uint64_t{1} << 62; v = v * 3 / 2 + 1) {
    Histogram h;
    h.record(v);
    h.record(UINT64_MAX);  // else percentile() is cut at max() and the bucket's end stays unseen
    const uint64_t said = h.percentile(50);
    EXPECT_GE(said, v);
    EXPECT_LE(static_cast<double>(said - v), static_cast<double>(v) / 100) << v;
  }
}

TEST(Histogram, NeverSaysMoreThanTheLargest) {
  Histogram h;
  h.record(1'000'001);
  EXPECT_EQ(h.percentile(99.9), 1'000'001u);
  EXPECT_EQ(h.max(), 1'000'001u);
}

TEST(Histogram, FindsTheTailOfManySamples) {
  Histogram h;
  for (int i = 0; i < 985; ++i) h.record(1000);
  for (int i = 0; i < 15; ++i) h.record(50'000);
  EXPECT_NEAR(static_cast<double>(h.percentile(98)), 1000, 10);
  EXPECT_NEAR(static_cast<double>(h.percentile(99)), 50'000, 500);
}

}  // namespace
}  // namespace loadgen
