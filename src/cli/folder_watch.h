// FolderWatch: says that something below a set of folders changed (inotify), once things are quiet again.
// Used by `skerry dev`.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry::cli {

inline constexpr int kQuietMs = 150;        // an editor writes, renames and touches within this
inline constexpr int kMaxUnquietMs = 2000;  // a folder that is written to all the time still gets shipped

class FolderWatch {
 public:
  // Watches the folders themselves (not what is below them): the caller names each.
  static Result<FolderWatch> make(const std::vector<std::string>& folders);

  enum class Woken { kChanged, kStopped };
  // Until something changed and kQuietMs passed without more, or `stop_fd` is readable.
  Result<Woken> wait(int stop_fd);

 private:
  bool drain();
  UniqueFd fd_;
};

}  // namespace skerry::cli
