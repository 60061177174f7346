// Builder: from an uploaded project to what a revision runs. Every tool of a build runs in a container with a toolchain image, never here.
//
// Called by the deployer; implemented by pipeline.h, and by doubles in tests. Thread: control's loop.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "build/image_reference.h"
#include "contract/ids.h"
#include "contract/plan.h"
#include "loop/task.h"

namespace skerry {

struct BuildRequest {
  FunctionId function;
  std::string name;
  std::string build_id;  // a ULID: the log's name
  Digest upload;         // a tar in the blob store; empty with an image
  std::optional<ImageReference> image;  // of language "image": taken out of its registry instead of an upload
  std::string language;  // "" to detect
  std::string version;   // "" for the default
  std::string build_command;
  std::vector<std::string> entrypoint;     // an own server, when given
  std::optional<std::string> health_path;  // "" switches the probe off
  uint64_t memory_bytes = 256ULL << 20;    // of the function: some runtimes are told
};

struct BuildResult {
  std::vector<Digest> layers;  // lowest first
  std::vector<std::string> argv;
  std::vector<std::string> env;  // "NAME=value", what the language adds
  Transport transport = Transport::kUnix;
  uint16_t port = 8080;
  std::string health_path;
  int64_t runtime_layers = 0;  // StartPlan::runtime_layers
  std::string language;
  std::string version;
  uint64_t size_bytes = 0;
  std::string image;  // "registry/name:tag" that it was pulled by, "" for an upload
};

struct ResolvedImage {
  Digest digest;
  bool is_built = false;  // the build of it is still there, made as it would be made now
};

enum class StageState : uint8_t { kBegin, kDone, kCached };

class BuildProgress {
 public:
  virtual ~BuildProgress() = default;
  virtual void stage(std::string_view name, StageState state, int64_t ms) = 0;
  virtual void log(std::string_view stage, std::string_view line) = 0;
  virtual void warning(std::string_view text) = 0;
};

class Builder {
 public:
  virtual ~Builder() = default;
  // kFunctionFailed when the project is at fault: the message begins with the stage ("deps: ..."), the last lines of the log went to
  // `progress`. Other codes are the platform's.
  virtual Task<Result<BuildResult>> build(BuildRequest request, BuildProgress& progress) = 0;
  // What `request.image` names now; the stage is "resolve". A build is then asked for with that digest in the reference.
  virtual Task<Result<ResolvedImage>> resolve(BuildRequest request, BuildProgress& progress) = 0;
};

}  // namespace skerry
