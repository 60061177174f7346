#include "autoscaler/freeze.h"

namespace skerry::autoscaler {

Rest decide_rest(const Idleness& idleness) {
  if (idleness.in_it > 0 || idleness.background || !idleness.now) return {};
  const CpuSample now = *idleness.now;
  // A counter that went back is another's: nothing is known of the time before.
  if (!idleness.since || now.used_us < idleness.since->used_us || now.used_us - idleness.since->used_us >= kQuietCpuUs) return {.since = now};
  return {.freeze = now.at - idleness.since->at >= kQuietTime, .since = idleness.since};
}

}  // namespace skerry::autoscaler
