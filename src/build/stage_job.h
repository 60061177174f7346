// One container of a build: a tar in, log lines out, a tar out.
//
// The result is drained by a thread into a blob with a cap, so that neither a flood nor a slow disk stops control. Called by pipeline.cc.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "blob/blob_store.h"
#include "build/build_log.h"
#include "build/sandbox_client.h"

namespace skerry {

struct BuilderLimits {
  uint64_t memory_bytes = 3ULL << 30;
  uint64_t scratch_bytes = 2ULL << 30;  // the job's writable top is memory
  uint32_t cpu_millis = 2000;
  uint32_t max_processes = 4096;
  uint32_t max_open_files = 16'384;  // javac and npm open thousands
  Duration time = std::chrono::minutes(10);
};

// Where a tool that fails says why.
enum class FailureWords : uint8_t { kInLog, kLastLine };

struct StageJob {
  std::string stage;           // its name in progress and errors: deps, build
  std::vector<Digest> layers;  // lowest first, toolchain included
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string cwd = "/tmp";
  std::string input;   // standard input
  FailureWords words = FailureWords::kInLog;  // kLastLine: a program of ours, whose last line is the message
  std::string comment;  // in front of the result (archive.h, tar_comment): where it will be mounted
};

// What a job wrote, in the blob store. Held open: another build with the same result may drop the name meanwhile.
struct StageResult {
  Digest digest;
  UniqueFd archive;
};

// Blocks. Opened anew, because the descriptor that wrote must not leave this process.
Result<StageResult> commit_open(BlobStore::Writer& writer);

// Runs it and gives the blob that it wrote to standard output. kFunctionFailed ("deps: ...") when the tool failed, ran out of time or memory or
// wrote too much; kUnavailable when sandboxd is away.
Task<Result<StageResult>> run_stage_job(Loop& loop, JobRunner& jobs, BlobStore& blobs, const BuilderLimits& limits, StageJob job, BuildLog& log);

[[nodiscard]] std::unexpected<Error> project_failed(std::string_view stage, std::string_view message);

}  // namespace skerry
