// Scaling decisions as pure functions of what is, the limits and the time. dispatch/ carries them out.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace skerry::autoscaler {

// One revision at one moment.
struct Load {
  int64_t waiting = 0;      // requests in the queue
  int64_t starting = 0;     // instances asked for and not ready
  int64_t live = 0;         // instances that are ready, busy or idle
  int64_t idle = 0;         // of the live ones, with a free place
  int64_t concurrency = 1;
  int64_t min_instances = 0;
  int64_t max_instances = 1;
  TimePoint no_start_before{};  // backing off after failed starts
};

// How many instances to start now. A request that waits has a start of its own (or a share of one, with concurrency > 1), never more than
// max_instances in all; min_instances are kept without requests.
[[nodiscard]] int64_t starts_wanted(const Load& load, TimePoint now);

// An idle instance ends when it has not been used for `idle_timeout`, unless it is one of the min_instances.
[[nodiscard]] bool may_retire(const Load& load, TimePoint idle_since, Duration idle_timeout, TimePoint now);

// How long to wait after the n-th failed start in a row (n >= 1): 200 ms doubling to 30 s.
[[nodiscard]] Duration start_backoff(int failures);

}  // namespace skerry::autoscaler
