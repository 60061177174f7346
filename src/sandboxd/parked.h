// A parked container: the two processes of a container, made by filler and finished but for what only the start knows.
//
// park() clones the container's init (pid 1 inside), which makes the skeleton of its file system, enters control groups and network, and forks the
// program's process. That one gives up everything it will not need (user, capabilities, system calls), and both wait: init at the slot's seat, the
// program's process at a socket between the two. Neither has executed anything but our own code, nor seen a byte of a tenant.
//
// On the start's word (container.h) init enters the root and passes the program's part on; that process executes the program. From then on init
// reaps, passes SIGTERM on, and tells how the program ended through the report pipe. Whoever closes the seat before ends both.
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry::sandbox {

// What a container is made of; the descriptors stay the caller's.
struct ParkedParts {
  int user_namespace = -1;
  int net_namespace = -1;
  std::vector<int> tasks;  // of its control groups: write "0" and the writer is in
  std::string work_dir;    // any folder of the host: the skeleton covers it for a moment
  const std::vector<sock_filter>& filter;
};

struct Parked {
  pid_t pid = -1;
  UniqueFd process;  // pidfd
  UniqueFd seat;
};

// Returns when both processes wait (about 3 ms), or says why they do not. The caller reaps `pid`.
Result<Parked> park(const ParkedParts& parts);

}  // namespace skerry::sandbox
