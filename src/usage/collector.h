// Collector: reads what edge appended to the meter's journal and adds it to the store's sums.
//
// Caller: control, every few seconds and before it answers about usage. The sums and the position up to which
// a segment was read move in one transaction, so that a kill at any moment neither loses nor doubles a
// record. Every record counts, marked sent or not: the function ran. Edge owns the journal; what cannot be
// true in a record (an unknown start mode, a time of another century) is skipped and counted.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "store/store.h"

namespace skerry::usage {

inline constexpr size_t kMaxSegments = 4096;  // 16 GB; more is refused by name rather than read for minutes
inline constexpr size_t kSegmentsKept = 8;    // the newest, for looking up single requests: 131,000 of them
inline constexpr int64_t kSegmentKeptMs = 7 * 24 * 3600 * 1000LL;  // and none younger than this

struct Collected {
  uint64_t records = 0;  // added to the sums
  uint64_t skipped = 0;  // impossible
  uint64_t removed_segments = 0;
};

class Collector {
 public:
  // `directory` holds the journal's segments. Borrows store and clock.
  Collector(Store& store, const Clock& clock, std::string directory)
      : store_(store), clock_(clock), directory_(std::move(directory)) {}

  // Everything that is there now. A segment that cannot be read ends it with an Error that names it; segments
  // before it are added.
  Result<Collected> collect();

 private:
  // True when every record of the segment is in the sums.
  Result<bool> collect_segment(const std::string& name, Collected& collected);

  Store& store_;
  const Clock& clock_;
  std::string directory_;
};

}  // namespace skerry::usage
