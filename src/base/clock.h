// Clock: time is passed in, so that decisions are pure and tests own it.
//
// Monotonic time is in nanoseconds since an arbitrary start (TimePoint, Duration); wall time is Unix milliseconds.
#pragma once

#include <chrono>
#include <cstdint>

namespace skerry {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint now() const = 0;
  [[nodiscard]] virtual int64_t wall_ms() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] int64_t wall_ms() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  }
};

// A clock that a test or the simulator moves by hand.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }
  [[nodiscard]] int64_t wall_ms() const override { return wall_ms_; }
  void advance(Duration by) {
    now_ += by;
    wall_ms_ += std::chrono::duration_cast<std::chrono::milliseconds>(by).count();
  }

 private:
  TimePoint now_{std::chrono::hours(1)};
  int64_t wall_ms_ = 1'700'000'000'000;
};

}  // namespace skerry
