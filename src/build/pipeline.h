// Pipeline: the Builder. Stages of a build: unpack, detect, deps, build, layer; each language says in languages.cc what its stages run.
//
// Results are layers by digest, so that the same input is never built twice: an unchanged dependency set is found in the cache folder. The whole
// log of a build is kept at <builds_dir>/<build id>.log. Thread: control's loop; file reads are local and bounded.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "blob/blob_store.h"
#include "build/archive.h"
#include "build/builder.h"
#include "build/sandbox_client.h"

namespace skerry {

struct PipelineSettings {
  std::string images_dir;
  std::string shims_dir;
  std::string builds_dir;  // logs
  std::string cache_dir;   // dependency set -> layer
  std::string ca_bundle = "/etc/ssl/certs/ca-certificates.crt";  // of this machine: its registries may be behind a proxy of its own
  std::vector<std::string> environment;                          // "NAME=value" of the host that build jobs see
  uint64_t job_memory_bytes = 3ULL << 30;
  uint64_t job_scratch_bytes = 2ULL << 30;
  Duration job_time = std::chrono::minutes(10);
};

class Pipeline final : public Builder {
 public:
  static constexpr size_t kMaxLogBytes = 16U << 20;

  Pipeline(Loop& loop, const Logger& logger, BlobStore& blobs, JobRunner& jobs, LayerStore& layers, PipelineSettings settings);
  Task<Result<BuildResult>> build(BuildRequest request, BuildProgress& progress) override;

 private:
  struct Run;  // one build
  struct Step {
    std::string stage;                // its name in progress and errors
    std::string toolchain;            // name of the build image
    std::vector<Digest> layers;       // on top of the toolchain
    std::vector<std::string> argv;
    std::vector<std::string> env;
    std::string input;                // standard input: a tar
    std::string cache_key;            // "" for none
    std::string subfolder;            // where the result's layer goes
  };

  Task<Result<void>> detect(Run& run);
  Task<Result<BuildResult>> build_python(Run& run);
  Task<Result<BuildResult>> build_in_container(Run& run, const struct LanguageRecipe& recipe);
  // Runs a step and gives the layer made of the tar that it wrote to its standard output.
  Task<Result<Digest>> run_step(Run& run, Step step);
  Task<Result<void>> run_job(Run& run, Step step, int out);
  Task<Result<Digest>> image_layer(std::string name);
  Task<Result<Digest>> shim_layer(std::string language);
  Task<Result<Digest>> ca_layer();
  Task<Result<Digest>> text_layer(std::string tar, std::string subfolder);
  Result<std::string> cached(const std::string& key) const;
  void remember(const std::string& key, const Digest& layer) const;

  Loop& loop_;
  const Logger& logger_;
  BlobStore& blobs_;
  JobRunner& jobs_;
  LayerStore& layers_;
  PipelineSettings settings_;
  std::map<std::string, Digest> known_layers_;  // images and shims, for the life of the process
};

}  // namespace skerry
