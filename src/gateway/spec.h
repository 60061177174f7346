// FunctionSpec: the "config" of a ship request (docs/api.md), checked again here whatever the client checked, and its JSON form in the store.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "build/image_reference.h"
#include "contract/function_config.h"
#include "json/json.h"

namespace skerry {

struct SpecCaps {
  int64_t max_memory_mb = limits::kMaxMemoryMb;
  int64_t max_timeout_ms = limits::kMaxTimeoutMs;
  int64_t max_scratch_mb = limits::kMaxScratchMb;
  // Closed ranges that an allow list may name. Absent: not asked for, what was shipped once stands.
  std::optional<std::vector<EgressRule>> open = std::vector<EgressRule>{};
};

struct FunctionSpec {
  std::vector<std::pair<std::string, std::string>> env;
  // Absent: all shared secrets and the function's own. Present: exactly these {binding, name}.
  std::optional<std::vector<std::pair<std::string, std::string>>> secrets;
  int64_t memory_mb = limits::kMemoryMb;
  int64_t scratch_mb = 0;  // of disk for what is written; 0: half of the memory
  int64_t cpu_millis = limits::kCpuMillis;
  int64_t timeout_ms = limits::kTimeoutMs;
  int64_t start_timeout_ms = limits::kStartTimeoutMs;
  int64_t idle_timeout_ms = limits::kIdleTimeoutMs;
  int64_t concurrency = 1;
  int64_t min_instances = 0;
  int64_t max_instances = limits::kMaxInstances;
  bool background = false;
  std::vector<std::string> entrypoint;
  std::optional<std::string> health_path;
  std::string build_command;
  EgressPolicy egress;  // in its normal form

  // The error names the field: "`config.memory_mb` is 1024, must be from 32 to 512".
  static Result<FunctionSpec> from_json(const json::value& v, const SpecCaps& caps);
  [[nodiscard]] json::object to_json() const;
};

struct ShipRequest {
  std::string name;
  std::string id_hint;
  std::optional<Digest> upload;         // with neither: a config-only change
  std::optional<ImageReference> image;  // instead of an upload
  std::string language;
  std::string version;
  FunctionSpec spec;
  [[nodiscard]] bool has_code() const { return upload || image; }

  static Result<ShipRequest> from_json(const json::value& v, const SpecCaps& caps);
};

// A name that a program's environment may have: [A-Za-z_][A-Za-z0-9_]*, at most 256 bytes.
[[nodiscard]] bool is_env_name(std::string_view name);
// PORT, SKERRY_* and K_* are the platform's.
[[nodiscard]] bool is_reserved_env_name(std::string_view name);

}  // namespace skerry
