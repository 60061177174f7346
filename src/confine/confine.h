// What skerry-unpack and skerry-keeper do to themselves before they read input that a tenant chose.
//
// Each call is for good: nothing here can be undone by the process, whatever takes it over.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"

namespace skerry {

// No new privileges by exec, no core dump, no reading of our memory by a process of the same user (ptrace,
// /proc/PID/mem).
Result<void> renounce_privileges();

// Soft and hard resource limit alike (RLIMIT_*). A hard limit that is lower already stays.
Result<void> limit_resource(int resource, uint64_t value);

// One allowed system call; with `argument` >= 0 only where (argument & mask) == value.
struct AllowedCall {
  int number;
  int argument = -1;
  uint64_t mask = 0;
  uint64_t value = 0;
};

// Loads a filter for the whole process (all threads): what is not in `allowed` kills it (SIGSYS). Our own
// programs know their calls, so unlike a container's filter this one has no ENOSYS for the unknown. Memory
// management, clocks and exit are allowed without being listed, but no memory that can be executed: new code
// cannot enter the process.
Result<void> allow_only(std::span<const AllowedCall> allowed);

}  // namespace skerry
