// Whether an idle instance is to be frozen, as a pure function of what it used and what is in it. dispatch/ carries it out.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace skerry::autoscaler {

// CONTRACT, "Between requests": an instance is frozen only after a second in which it used less than 5 ms of CPU.
inline constexpr Duration kQuietTime = std::chrono::seconds(1);
inline constexpr uint64_t kQuietCpuUs = 5000;

// Where an instance's CPU counter stood at one moment.
struct CpuSample {
  TimePoint at{};
  uint64_t used_us = 0;
  auto operator<=>(const CpuSample&) const = default;
};

struct Idleness {
  int64_t in_it = 0;  // requests, answers that stream and upgraded connections
  bool background = false;  // the function asked never to be frozen
  std::optional<CpuSample> now;    // nothing where it is not known, or where it cannot be frozen
  std::optional<CpuSample> since;  // where the quiet time under way began, as the decision before said
};

struct Rest {
  bool freeze = false;
  std::optional<CpuSample> since;  // to be given to the next decision
};

// Asked several times a second for an instance that runs. The quiet time begins again whenever there was something in it, or it used more.
[[nodiscard]] Rest decide_rest(const Idleness& idleness);

}  // namespace skerry::autoscaler
