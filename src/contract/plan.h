// StartPlan: everything sandboxd needs to make one container. Built by edge (instances) or control (build jobs), checked again by sandboxd.
//
// It names layers by digest and never by path; argv, env and cwd are bytes that only the container's own process interprets.
// encode() gives at most kMaxPlanBytes; a plan travels as a sealed memfd beside its Start message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "contract/egress.h"
#include "contract/ids.h"

namespace skerry {

inline constexpr size_t kMaxPlanBytes = 1024 * 1024;
inline constexpr size_t kMaxLayers = 16;          // base image, shim, dependencies, code: four are usual
inline constexpr size_t kMaxArguments = 256;
inline constexpr size_t kMaxEnvironment = 400;    // 64 of the user, 100 secrets under two names, and ours
inline constexpr size_t kMaxStringBytes = 16384;  // one argument or one NAME=value; a secret is at most 10 KB

// More than any machine is asked for; what each client may ask for is less (sandboxd/plan_rules.h).
inline constexpr uint64_t kMinScratchDiskBytes = 16ULL << 20;  // of less, a file system's own tables are a large part
inline constexpr uint64_t kMaxMemoryBytes = 1ULL << 40, kMaxScratchBytes = 1ULL << 40;
inline constexpr uint32_t kMaxCpuMillis = 1'000'000, kMaxProcesses = 1'000'000, kMaxOpenFiles = 1'000'000;

enum class PlanKind : uint8_t { kInstance = 0, kJob = 1 };
// What keeps it from the rest of the machine: the kernel's own means. The place where others (gVisor, virtual machines) would be named.
enum class Isolation : uint8_t { kNative = 0 };
// How ingress reaches the instance: the shim's inherited unix socket, TCP to $PORT inside, or not at all (jobs).
enum class Transport : uint8_t { kNone = 0, kUnix = 1, kTcp = 2 };
enum class Network : uint8_t { kNone = 0, kInternet = 1 };
// What the writable top is made of: memory of the container's own, or a disk that is gone with it.
enum class Scratch : uint8_t { kMemory = 0, kDisk = 1 };

struct Limits {
  uint64_t memory_bytes = 256ULL << 20;
  uint64_t scratch_bytes = 128ULL << 20;  // the writable top
  uint32_t cpu_millis = 1000;             // of one core
  uint32_t max_processes = 1024;          // processes and threads
  uint32_t max_open_files = 4096;
  Scratch scratch = Scratch::kMemory;
  auto operator<=>(const Limits&) const = default;
};

struct StartPlan {
  std::string id;     // a ULID: the instance's or the job's
  std::string label;  // <= 128 bytes, given back by List: the revision id, or the job's purpose
  PlanKind kind = PlanKind::kInstance;
  Isolation isolation = Isolation::kNative;
  std::vector<Digest> layers;  // lowest first
  std::vector<std::string> argv;
  std::vector<std::string> env;  // "NAME=value", unique names
  std::string cwd = "/";
  std::string hostname = "skerry";
  Transport transport = Transport::kNone;
  uint16_t port = 0;  // with kTcp
  Network network = Network::kInternet;
  // How many of the lowest layers are the runtime's alone, so that a spare may be made of them ahead of need; 0 where the program cannot start
  // without the rest. With kUnix only.
  uint8_t runtime_layers = 0;
  // This is a spare: the program also gets descriptor kAssignmentFd and waits there for what it is to become (shims/README.md).
  bool spare = false;
  bool has_secrets = false;  // a sealed blob accompanies the plan; keeper fills the rest of the environment
  Limits limits;
  EgressPolicy egress;  // with Network::kInternet only

  [[nodiscard]] std::string encode() const;
  // Checks every bound and that names are well formed; the error names the field.
  static Result<StartPlan> decode(std::string_view bytes);
};

inline constexpr int kAssignmentFd = 5;

// The phase (StartFailed) of a start for which there is no scratch disk: the location's lack, not the function's failure.
inline constexpr std::string_view kScratchPhase = "scratch";

// The spare that can become an instance of `plan`: its runtime with nothing of the function. Plans that may use the same spares give equal ones.
// `id` names the spare itself. The plan must have runtime_layers.
[[nodiscard]] StartPlan spare_of(const StartPlan& plan, std::string id);

}  // namespace skerry
