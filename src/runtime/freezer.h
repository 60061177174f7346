// Freezer: the switch of one instance's control group, as starter hands it over beside the instance's pipes. Stops its processes where they are and lets
// them go on, without a word to sandboxd.
//
// Owns a descriptor of freezer.state (cgroup v1) or cgroup.freeze (v2). The kernel asked who may write when starter opened it, so edge's own user needs
// no right of it; once the group is removed every write fails (ENODEV), also where another container has its name by then. Thread: edge's loop.
#pragma once

#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry {

class Freezer {
 public:
  Freezer() = default;  // of nothing: both fail
  // Reads which of the two kinds it is.
  static Result<Freezer> of(UniqueFd fd);

  // In force for whatever runs next; a process that the kernel is busy for stands still when that is over.
  Result<void> freeze() { return write(words_.frozen); }
  // In force at once, whether all stood still already or not.
  Result<void> thaw() { return write(words_.thawed); }

 private:
  struct Words {
    std::string_view frozen, thawed;
  };
  Result<void> write(std::string_view word);

  UniqueFd fd_;
  Words words_;
};

}  // namespace skerry
