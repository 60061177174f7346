// Control groups of containers, on v1/hybrid machines and on v2, behind one interface chosen by probing.
//
// filler makes a slot's groups ahead and hands starter their `tasks` descriptors; starter sets the limits; the container's first process attaches
// itself; reaper removes. Names are slot indexes, never anything a tenant chose.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "contract/plan.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

class Cgroups {
 public:
  virtual ~Cgroups() = default;
  // Looks at what is mounted. An error names what is missing.
  static Result<std::unique_ptr<Cgroups>> probe(const Settings& settings);

  [[nodiscard]] virtual const char* version() const = 0;
  // The parent group, once.
  virtual Result<void> prepare() = 0;
  [[nodiscard]] virtual bool exists(const std::string& group) = 0;
  virtual Result<void> create(const std::string& group) = 0;
  // Write "0" to each and the writer is inside.
  virtual Result<std::vector<UniqueFd>> open_tasks(const std::string& group) = 0;
  virtual Result<void> set_limits(const std::string& group, const Limits& limits) = 0;
  virtual Result<void> set_frozen(const std::string& group, bool frozen) = 0;
  // freezer.state (v1) or cgroup.freeze (v2), to read and write. SECURITY: the kernel asks who may when it is opened: whoever holds it can freeze and thaw
  // this one group while it exists, and nothing else.
  virtual Result<UniqueFd> open_freezer(const std::string& group) = 0;
  // For a group that is about to be sent SIGKILL: each process needs CPU to end, and at its limit a fork bomb of 128 takes 2 s instead of 0.1.
  virtual Result<void> lift_cpu_limit(const std::string& group) = 0;
  // Of cpuacct.usage (v1) or cpu.stat (v2).
  virtual Result<UniqueFd> open_cpu_counter(const std::string& group) = 0;
  [[nodiscard]] virtual uint64_t cpu_us(const std::string& group) = 0;
  [[nodiscard]] virtual uint64_t memory_bytes(const std::string& group) = 0;
  [[nodiscard]] virtual uint64_t peak_memory_bytes(const std::string& group) = 0;
  // Whether the kernel killed something in it for memory.
  [[nodiscard]] virtual bool was_out_of_memory(const std::string& group) = 0;
  // A descriptor that becomes readable when the group runs out of memory, for the caller to end what is left; empty where the kernel itself
  // ends all of the group (v2).
  virtual Result<UniqueFd> watch_memory(const std::string& group) = 0;
  // Every process in it; for reaper and sweep.
  virtual std::vector<pid_t> processes(const std::string& group) = 0;
  // Thaws it and sends SIGKILL to all that is in it now.
  virtual void kill_all(const std::string& group) = 0;
  // kConflict (EBUSY) while processes are in it.
  virtual Result<void> remove(const std::string& group) = 0;
  // All groups below the parent.
  virtual std::vector<std::string> list() = 0;
  virtual Result<void> remove_parent() = 0;
};

// Mounts a hierarchy of our own with favordynmods at <run_dir>/cgroup: attaching takes 0.1 ms instead of 10 afterwards, machine-wide until
// reboot (NUMBERS: "cgroup attach"). An error where the kernel does not know it; everything works without, slower.
Result<void> favor_moves(const Settings& settings);

}  // namespace skerry::sandbox
