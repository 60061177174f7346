#include "autoscaler/decide.h"

#include <algorithm>

namespace skerry::autoscaler {

int64_t starts_wanted(const Load& load, TimePoint now) {
  if (now < load.no_start_before) return 0;
  const int64_t for_waiting = (load.waiting + load.concurrency - 1) / load.concurrency;
  const int64_t for_minimum = load.min_instances - load.live;
  const int64_t wanted = std::max(for_waiting, for_minimum) - load.starting;
  const int64_t room = load.max_instances - load.live - load.starting;
  return std::max<int64_t>(0, std::min(wanted, room));
}

bool may_retire(const Load& load, TimePoint idle_since, Duration idle_timeout, TimePoint now) {
  return load.live > load.min_instances && now - idle_since >= idle_timeout;
}

Duration start_backoff(int failures) {
  const int doublings = std::clamp(failures - 1, 0, 16);
  return std::min<Duration>(std::chrono::milliseconds(200) * (int64_t{1} << doublings), std::chrono::seconds(30));
}

}  // namespace skerry::autoscaler
