// What control tells an edge about a function: its routes and the revisions they name. Sent over the watch (watch.h) and kept by edge on disk.
//
// Plain values with a JSON form. from_json refuses unknown fields and values out of bounds, naming the field.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "contract/ids.h"
#include "contract/plan.h"
#include "json/json.h"

namespace skerry {

// CONTRACT section 8: defaults and hard caps, in one place. Units last.
namespace limits {
inline constexpr int64_t kMemoryMb = 256, kMinMemoryMb = 32, kMaxMemoryMb = 512;
inline constexpr int64_t kMinScratchMb = static_cast<int64_t>(kMinScratchDiskBytes >> 20), kMaxScratchMb = 4096;
inline constexpr int64_t kCpuMillis = 1000, kMinCpuMillis = 50, kMaxCpuMillis = 8000;
inline constexpr int64_t kTimeoutMs = 30'000, kMaxTimeoutMs = 60'000;
inline constexpr int64_t kStartTimeoutMs = 20'000, kMaxStartTimeoutMs = 120'000;
inline constexpr int64_t kIdleTimeoutMs = 300'000, kMaxIdleTimeoutMs = 3'600'000;
inline constexpr int64_t kMaxInstances = 100, kMaxMaxInstances = 1000;
inline constexpr int64_t kMaxConcurrency = 1000;
inline constexpr int64_t kStreamIdleMs = 60'000;
inline constexpr int64_t kStreamMaxMs = 900'000;
inline constexpr uint64_t kRequestBodyBytes = 10ULL << 20;
inline constexpr uint64_t kResponseBodyBytes = 10ULL << 20;     // of known length
inline constexpr uint64_t kStreamedAnswerBytes = 1ULL << 30;
inline constexpr size_t kFunctionNameBytes = 40;
inline constexpr size_t kEnvVars = 64, kEnvNameBytes = 256, kEnvValueBytes = 5 * 1024;
inline constexpr size_t kSecrets = 100, kSecretNameBytes = 256, kSecretValueBytes = 10 * 1024;
inline constexpr size_t kFunctions = 100;                       // of an organization
inline constexpr size_t kRevisionsKept = 250;
inline constexpr uint64_t kUploadBytes = 50ULL << 20, kUnpackedBytes = 250ULL << 20;
inline constexpr uint32_t kUploadFiles = 50'000;
inline constexpr uint64_t kRevisionBytes = 2ULL << 30;
inline constexpr uint32_t kRevisionFiles = 300'000;
// Of the tar that carries it: a head, a long name's record and padding beside each file's bytes.
inline constexpr uint64_t kRevisionArchiveBytes = kRevisionBytes + uint64_t{kRevisionFiles} * 2048;
}  // namespace limits

// [a-z]([a-z0-9-]*[a-z0-9])?, 1..40, no "--".
[[nodiscard]] bool is_function_name(std::string_view name);

struct RevisionConfig {
  RevisionId id;
  std::string tag;       // 7 characters, in the revision's own host name
  int64_t number = 0;
  std::vector<Digest> layers;  // lowest first
  std::vector<std::string> argv;
  std::vector<std::string> env;  // "NAME=value", secrets not included; complete but for SKERRY_INSTANCE and HOSTNAME
  Transport transport = Transport::kUnix;
  uint16_t port = 8080;
  int64_t runtime_layers = 0;  // StartPlan::runtime_layers
  Limits limits;
  int64_t timeout_ms = limits::kTimeoutMs;
  int64_t start_timeout_ms = limits::kStartTimeoutMs;
  int64_t idle_timeout_ms = limits::kIdleTimeoutMs;
  int64_t concurrency = 1;
  int64_t min_instances = 0;
  int64_t max_instances = limits::kMaxInstances;
  bool background = false;
  std::string health_path;     // asked before an own server counts as ready; "" for none
  EgressPolicy egress;         // in its normal form
  std::string sealed_secrets;  // base64 of what only this location's keeper opens; "" for none

  [[nodiscard]] json::object to_json() const;
  static Result<RevisionConfig> from_json(const json::value& v);
  // The plan of one instance of this revision. `instance` becomes id, SKERRY_INSTANCE and HOSTNAME.
  [[nodiscard]] StartPlan plan(const InstanceId& instance) const;
};

// One host name to one or more revisions. Weights are relative.
struct Route {
  std::string host;  // lower case, no port
  std::vector<std::pair<RevisionId, uint32_t>> targets;
};

struct FunctionConfig {
  FunctionId id;
  OrgId org;
  std::string name;
  std::vector<Route> routes;
  std::vector<RevisionConfig> revisions;  // every revision that a route names

  [[nodiscard]] json::object to_json() const;
  static Result<FunctionConfig> from_json(const json::value& v);
};

}  // namespace skerry
