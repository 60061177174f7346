// When the requests of an open-loop run are due: at a fixed rate, whatever the server does. A request that finds no free connection waits and its
// latency counts from when it was due; one that waited longer than the patience, or is still waiting at the end, is counted as not sent.
// Times are nanoseconds of one monotonic clock.
#pragma once

#include <cstdint>
#include <optional>

namespace loadgen {

class Schedule {
 public:
  Schedule(uint64_t start, uint64_t end, double per_second, uint64_t patience)
      : start_(start), total_(static_cast<uint64_t>(static_cast<double>(end - start) * per_second / 1e9)), per_second_(per_second), patience_(patience) {}

  [[nodiscard]] uint64_t time_of(uint64_t n) const { return start_ + static_cast<uint64_t>(static_cast<double>(n) * 1e9 / per_second_); }

  // The due time of the next request, if it is due: it counts as sent from now on. Gives up what waited too long first.
  std::optional<uint64_t> take(uint64_t now) {
    give_up(now);
    if (next_ >= total_ || time_of(next_) > now) return std::nullopt;
    return time_of(next_++);
  }
  // When to look again; nothing is due after the last one.
  [[nodiscard]] std::optional<uint64_t> next_time() const {
    if (next_ >= total_) return std::nullopt;
    return time_of(next_);
  }
  void give_up(uint64_t now) {
    while (next_ < total_ && time_of(next_) + patience_ < now) ++next_, ++unsent_;
  }
  // The end: whatever was not taken is not sent.
  void finish() {
    unsent_ += total_ - next_;
    next_ = total_;
  }

  [[nodiscard]] uint64_t total() const { return total_; }
  [[nodiscard]] uint64_t unsent() const { return unsent_; }

 private:
  uint64_t start_;
  uint64_t total_;
  double per_second_;
  uint64_t patience_;
  uint64_t next_ = 0;
  uint64_t unsent_ = 0;
};

}  // namespace loadgen
