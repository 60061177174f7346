// Pipeline: the Builder. Stages of a build: unpack, detect, deps, build, layer; of an image in a registry: resolve, pull, layer.
//
// Every result is a layer by digest, remembered under the digest of all that it depended on, so that an unchanged dependency set is not
// installed again and unchanged code is not built again. What runs inside the containers is in shims/<language>/. The upload is always mounted
// at /app, in build containers too, so that paths a build writes down hold where the function runs. Thread: control's loop.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "blob/blob_store.h"
#include "build/builder.h"
#include "build/gate.h"
#include "build/layer_index.h"
#include "build/platform_layers.h"
#include "build/registry_settings.h"
#include "build/sandbox_client.h"
#include "build/stage_job.h"

namespace skerry {

struct PipelineSettings {
  std::string images_dir;
  std::string shims_dir;
  std::string java_library;  // shims/java/native/, compiled
  std::string builds_dir;  // logs
  std::string cache_dir;   // LayerIndex
  std::string local_ca_pem;  // what functions trust beside the authorities of their image; "" for none
  std::string ca_bundle = "/etc/ssl/certs/ca-certificates.crt";  // of this machine: its registries may be behind a proxy of its own
  std::vector<std::string> environment;                          // "NAME=value" of the host that build jobs see
  std::vector<ClientFile> client_files = {{"/etc/pip.conf", "/etc/pip.conf"}, {"/etc/npmrc", "/skerry/build/npmrc"}, {"/etc/maven/settings.xml", "/skerry/build/settings.xml"}};
  std::vector<std::string> sources;  // local folders, tried before the registries
  RegistrySettings registries;       // of container images
  BuilderLimits limits;
};

class Pipeline final : public Builder {
 public:
  static constexpr size_t kMaxBuilds = 2;  // at a time: each may take BuilderLimits::memory_bytes
  static constexpr size_t kMaxWaiting = 32;
  static constexpr size_t kMaxSources = 8;  // a container has at most kMaxLayers

  Pipeline(Loop& loop, const Logger& logger, BlobStore& blobs, JobRunner& jobs, LayerStore& layers, PipelineSettings settings);
  Task<Result<BuildResult>> build(BuildRequest request, BuildProgress& progress) override;
  Task<Result<ResolvedImage>> resolve(BuildRequest request, BuildProgress& progress) override;

 private:
  struct Run;      // one build
  struct Cached {  // a job whose result is a layer, under a key
    std::string key;
    StageJob job;
    std::string subfolder;
  };

  Task<Result<void>> unpack(Run& run);
  Task<Result<void>> detect(Run& run);
  Task<Result<void>> find_layers(Run& run);
  Task<Result<void>> find_platform(Run& run);
  Task<Result<Digest>> find_image(Run& run, std::string name);
  Task<Result<Digest>> java_runtime(Run& run);
  Task<Result<void>> install_dependencies(Run& run);
  Task<Result<Digest>> prune_dependencies(Run& run);
  Task<Result<void>> build_project(Run& run);
  // What an author's image trusts, with our own authority in it; nothing where that cannot be told.
  Task<Result<void>> trust_image(Run& run);
  Task<Result<BuildResult>> assemble(Run& run);
  // The path that an own server answers with 2xx or 503, "" for none or when it does not start in a build.
  Task<Result<std::string>> find_health_path(Run& run, const BuildResult& result);

  // What takes the image out of its registry and flattens it, and what it is told.
  Result<void> order_pull(const Run& run, StageJob& job) const;
  Task<Result<Digest>> ask_registry(Run& run);

  // The layer under the job's key, from memory or made now. `stage` events are the caller's.
  Task<Result<std::optional<LayerIndex::Entry>>> remembered(std::string key);
  Task<Result<Digest>> layer_of(Run& run, Cached work);
  [[nodiscard]] std::vector<std::string> job_environment() const;
  [[nodiscard]] KeyMaker key(const Run& run, std::string prefix) const;
  [[nodiscard]] std::string key_of_build(const Run& run) const;

  Loop& loop_;
  const Logger& logger_;
  BlobStore& blobs_;
  JobRunner& jobs_;
  LayerStore& layers_;
  PipelineSettings settings_;
  LayerIndex index_;
  PlatformLayers platform_;
  BuildGate gate_;
};

}  // namespace skerry
