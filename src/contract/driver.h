// The seam between dispatch and what makes instances: the local sandbox today, an in-memory double in tests and the simulator, a cluster later.
// Nothing on dispatch's side may assume that an instance is a process on this machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "contract/function_config.h"
#include "contract/ids.h"

namespace skerry {

// How the instance that served a request came to be (docs/ARCHITECTURE.md, the start ladder).
enum class StartMode : uint8_t { kWarm, kThaw, kWake, kFork, kPrestart, kBoot };
[[nodiscard]] std::string_view to_string(StartMode mode);

enum class StopKind : uint8_t {
  kDrain,  // SIGTERM, up to 10 s for what runs, then SIGKILL
  kKill,   // SIGKILL now
};

// Carries out starts and stops. Calls never re-enter the caller; what happens is told through DriverEvents later.
class Driver {
 public:
  virtual ~Driver() = default;
  // Ends in on_ready, in on_start_failed, or, where the start was lost and another may do, in on_exited: exactly once, unless stop() came first.
  virtual void start(const InstanceId& instance, const FunctionId& function, const RevisionConfig& revision) = 0;
  // Ends in on_exited, exactly once, whatever state the instance is in.
  virtual void stop(const InstanceId& instance, StopKind kind) = 0;

  // ---- an instance that is ready. Done when they return, and never waited for: a request's way leads through thaw().
  // CPU time used so far; nothing where that is not known, or where this driver cannot freeze it.
  virtual std::optional<uint64_t> cpu_time_us(const InstanceId&) { return std::nullopt; }
  // Its processes stand still until thaw() or stop(). Only for one that nobody has a lease of.
  virtual Result<void> freeze(const InstanceId&) { return fail(ErrorCode::kUnavailable, "instances of this kind are not frozen"); }
  virtual Result<void> thaw(const InstanceId&) { return {}; }
};

// Where the time of one start went, from the driver's start() to on_ready(), one after the other; what a mode has not is 0.
struct StartPhases {
  Duration slot{};     // waiting for a slot, and for a scratch disk where there is one
  Duration mount{};    // its limits and its root, or the function's layers in a spare
  Duration runtime{};  // the program begins; a shim's language runtime comes up
  Duration code{};     // a shim loads the function's code
  Duration ready{};    // start-up code; for an own server all that it does until its port accepts
  bool operator==(const StartPhases&) const = default;
};

class DriverEvents {
 public:
  virtual ~DriverEvents() = default;
  virtual void on_ready(const InstanceId& instance, StartMode mode, const StartPhases& phases) = 0;
  // `phase`: slot, scratch (the location has no disk left for it), mount, process, secrets (sandbox), runtime, code, ready (the function's own start-up). `message` may be shown to a caller.
  virtual void on_start_failed(const InstanceId& instance, std::string_view phase, std::string_view message) = 0;
  virtual void on_exited(const InstanceId& instance) = 0;
};

// A place in an instance, held by one request.
struct Lease {
  InstanceId instance;
  RevisionId revision;
  StartMode mode = StartMode::kWarm;  // how the instance came to be, when this request waited for it; kThaw where it stood still; else kWarm
  Duration queued{};                  // from asking to getting
  Duration start{};                   // .. of that, the start or the thaw itself
  StartPhases phases;                 // of the start that this request waited for
};

enum class LeaseEnd : uint8_t { kReusable, kBroken };

}  // namespace skerry
