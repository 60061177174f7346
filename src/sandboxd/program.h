// The program's process of a container, from its last steps before it is the tenant's to the exec. Runs in that process alone.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sandboxd/container.h"

namespace skerry::sandbox {

// Puts `fds` at their numbers and closes every other descriptor but `keep`, which is moved to the number after them.
Result<void> arrange_descriptors(const ProgramFds& fds, int& keep);

// Waits for the secrets, sets limits, descriptors and working directory, and executes. Returns only an error; `phase` is the step it belongs to,
// and `keep` where the descriptor is then.
Error execute_program(const ProgramWord& word, int& keep, const char*& phase);

}  // namespace skerry::sandbox
