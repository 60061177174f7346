// <run_dir>/instances/<id>.state: what starter must know of a live instance after its own restart. One line of text, written atomically.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "contract/plan.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

struct InstanceState {
  std::string id;
  uint32_t index = 0;
  pid_t pid = 0;
  Transport transport = Transport::kNone;
  std::string label;
  uint64_t start_time = 0;  // of the process, in clock ticks since boot; filled by write_state
};

Result<void> write_state(InstanceState state, const Settings& settings);
// Files that are not ours or damaged are left out.
std::vector<InstanceState> read_states(const Settings& settings);
// Every id that has a file there: a state, whole or damaged, or a socket.
std::set<std::string> instance_ids(const Settings& settings);
// Whether the process with that number is still the one that was started.
[[nodiscard]] bool is_same_process(const InstanceState& state);

}  // namespace skerry::sandbox
