// One container: from a plan, a slot and a root to a running program, and what becomes of it.
//
// launch() clones the container's init (pid 1 inside), which enters the namespaces, gives up everything, and runs the program as its child. The
// init is our own code without exec: it reaps, passes SIGTERM on, and tells how the program ended through the report pipe.
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "contract/plan.h"
#include "sandboxd/mounts.h"
#include "sandboxd/slot.h"

namespace skerry::sandbox {

// What the program gets, by its number in the container.
struct ProgramFds {
  int in = -1, out = -1, err = -1;
  int listener = -1;  // 3
  int status = -1;    // 4
  int secrets = -1;   // read end of keeper's pipe; not passed on
};

// Sent by the container through its report pipe. A setup failure ends it; kExec says that the program runs.
struct Report {
  enum class Kind : uint8_t { kFailed = 0, kRunning = 1, kEnded = 2 };
  Kind kind = Kind::kFailed;
  int status = 0;         // kEnded: wait status of the program; kFailed: an ErrorCode
  char phase[16] = {};    // kFailed
  char message[232] = {};
};

struct Launched {
  pid_t pid = -1;
  UniqueFd pidfd;
  UniqueFd report;  // read end, non-blocking
};

// The caller owns all descriptors. Errors are those of clone; everything later comes as a Report.
Result<Launched> launch(const StartPlan& plan, const Slot& slot, int root, const ProgramFds& fds, Mounts& mounts, const std::vector<sock_filter>& filter);

}  // namespace skerry::sandbox
