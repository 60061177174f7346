// One container: what starter says to a parked one (parked.h), and what it hears of it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "contract/plan.h"
#include "os/unix_socket.h"
#include "sandboxd/slot.h"

namespace skerry::sandbox {

// What the program gets, by its number in the container; -1 where the plan has no use for it. The caller's.
struct ProgramFds {
  int in = -1, out = -1, err = -1;
  int listener = -1;  // 3
  int status = -1;    // 4
  int assignment = -1;  // kAssignmentFd, of a spare
  int secrets = -1;     // read end of keeper's pipe; not passed on
};

// Sent by the container through its report pipe. A setup failure ends it; kRunning says that the program runs, and of a spare once more, that it has
// become what it was to become.
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

// Says the word. `plan_fd` is the sealed memfd that `plan` was read from. An error means that the parked container is gone; everything later comes
// as a Report.
Result<Launched> launch(Slot& slot, const StartPlan& plan, int plan_fd, int root, const ProgramFds& fds);

// What turns a spare into an instance: trees that init attaches, each at its path, and the name it goes by from then on. `done` is the last copy of
// the assignment pipe's write end, closed when everything is in place: the program reads its environment to the end of that pipe.
struct Assignment {
  std::string hostname;
  std::vector<std::pair<std::string, UniqueFd>> trees;
  UniqueFd done;
};
Result<void> assign(int seat, const Assignment& assignment);
Result<Assignment> hear_assignment(int seat);

// The word as the container hears it.
struct Word {
  StartPlan plan;
  UniqueFd plan_fd, root, report;
  std::vector<UniqueFd> program;  // in the order of ProgramFds, without the absent ones
};
Result<Word> hear(int seat);

// init's part for the program's process: the plan and `program` of a Word, and back.
Result<void> pass_on(int socket, const Word& word);
struct ProgramWord {
  StartPlan plan;
  std::vector<UniqueFd> held;
  ProgramFds fds;  // of `held`
};
Result<ProgramWord> hear_program(int socket);

}  // namespace skerry::sandbox
