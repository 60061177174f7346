#include "histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace loadgen {
namespace {

constexpr int kSubBits = 7;
constexpr uint64_t kSub = uint64_t{1} << kSubBits;  // buckets in each doubling

// Values below kSub have a bucket each; above, kSub buckets to a doubling. Continuous and increasing.
size_t bucket_of(uint64_t value) {
  if (value < kSub) return value;
  const int shift = std::bit_width(value) - kSubBits - 1;
  return static_cast<size_t>(shift) * kSub + (value >> shift);
}

uint64_t upper_end(size_t bucket) {
  if (bucket < 2 * kSub) return bucket;
  const size_t shift = bucket / kSub - 1;
  return ((bucket - shift * kSub + 1) << shift) - 1;
}

}  // namespace

void Histogram::record(uint64_t value) {
  const size_t bucket = bucket_of(value);
  if (bucket >= counts_.size()) counts_.resize(bucket + 1);
  ++counts_[bucket];
  ++count_;
  sum_ += static_cast<double>(value);
  max_ = std::max(max_, value);
}

double Histogram::mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

uint64_t Histogram::percentile(double percent) const {
  const auto wanted = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(static_cast<double>(count_) * percent / 100)));
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    seen += counts_[bucket];
    if (seen >= wanted) return std::min(upper_end(bucket), max_);
  }
  return max_;
}

}  // namespace loadgen
