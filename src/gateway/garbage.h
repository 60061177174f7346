// Garbage: removes from disk what the store does not know any more. Control runs it every few minutes; every look is a handful of directory
// listings. Nothing young is touched: a file may be there before the row that names it.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "store/store.h"

namespace skerry {

struct GarbageFolders {
  std::string blobs;
  std::string builds;  // <build id>.log; a build's id is its revision's
  std::string logs;    // <function id>/
};

struct Removed {
  int uploads = 0;
  int blobs = 0;
  int build_logs = 0;
  int function_logs = 0;
};

class Garbage {
 public:
  static constexpr int64_t kUploadKeptMs = 86'400'000;  // docs/api.md promises it
  static constexpr int64_t kBlobKeptMs = 86'400'000;    // results of builds are layers long before
  static constexpr int64_t kLogKeptMs = 3'600'000;      // of what was removed: the last instances still stop and print

  // Borrows store, clock and logger.
  Garbage(Store& store, const Clock& clock, const Logger& logger, GarbageFolders folders)
      : store_(store), clock_(clock), logger_(logger), folders_(std::move(folders)) {}

  // Ends early when the store cannot be asked: what cannot be looked up is kept.
  Result<Removed> collect();

 private:
  Result<void> collect_blobs(Removed& removed);
  Result<void> collect_build_logs(Removed& removed);
  Result<void> collect_function_logs(Removed& removed);

  Store& store_;
  const Clock& clock_;
  const Logger& logger_;
  GarbageFolders folders_;
};

}  // namespace skerry
