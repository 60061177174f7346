// Starting Skerry's own programs: exact argv and environment, a named set of inherited descriptors, a user, a parent-death signal.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry {

struct SpawnOptions {
  std::vector<std::string> argv;               // argv[0] is the path of the program
  std::vector<std::string> env;                // "NAME=value"; nothing else is inherited
  std::vector<std::pair<int, int>> fds;        // {ours, its number in the child}; all others are closed in the child
  uid_t uid = 0;
  gid_t gid = 0;
  bool die_with_parent = false;                // PR_SET_PDEATHSIG SIGKILL
  bool new_session = true;
};

struct Child {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// Closes first..last of this process; last ~0U means all from there. Where the kernel has no close_range (Linux 5.9), one by one. Safe after fork().
Result<void> close_descriptors(unsigned first, unsigned last = ~0U);
// As above, but they stay open until an exec.
Result<void> close_descriptors_on_exec(unsigned first);

// fork(), with CLONE_NEW* `namespaces` for the child alone. `pidfd` is the parent's, or null where none is wanted. 0 in the child, -1 and errno on failure.
// clone() and not clone3(): container hosts refuse the latter, and nothing here needs it.
pid_t fork_into(int namespaces, UniqueFd* pidfd);

// Forks and executes. A failure in the child before exec (setuid, dup2, exec) is reported here as an Error.
// Drops supplementary groups; with uid != 0 all capabilities go with the uid.
Result<Child> spawn(const SpawnOptions& options);

}  // namespace skerry
