// Latencies by count: log-linear buckets as in HdrHistogram, each at most 1/128 of its value wide, so that a million samples take 60 KB and a
// percentile is off by less than 0.8 %. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace loadgen {

class Histogram {
 public:
  void record(uint64_t value);

  [[nodiscard]] uint64_t count() const { return count_; }
  [[nodiscard]] uint64_t max() const { return max_; }
  [[nodiscard]] double mean() const;
  // The value that `percent` (0..100] of the samples do not exceed: the upper end of its bucket, never above max(). 0 without samples.
  [[nodiscard]] uint64_t percentile(double percent) const;

 private:
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  uint64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace loadgen
