// What a build needs of sandboxd: run a job to its end, and turn an archive into a layer. Interfaces, and their real implementations over the
// unix sockets of starter and filler: a connection for each piece of work, so that giving up is closing it. Thread: control's loop.
#pragma once

#include <string>
#include <vector>

#include "contract/plan.h"
#include "loop/loop.h"
#include "base/unique_fd.h"

namespace skerry {

struct Job {
  std::string label;
  std::vector<Digest> layers;
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string cwd = "/";
  Limits limits;
  // Borrowed until run() returned.
  int in = -1, out = -1, err = -1;
};
struct JobEnd {
  int exit_code = -1;
  int signal = 0;
  bool out_of_memory = false;
};

class JobRunner {
 public:
  virtual ~JobRunner() = default;
  // kTimeout when the deadline passed: the job is killed. kUnavailable when sandboxd is away or restarted meanwhile.
  virtual Task<Result<JobEnd>> run(Job job, TimePoint deadline) = 0;
};

struct LayerSize {
  uint64_t bytes = 0;
  uint32_t files = 0;
};

class LayerStore {
 public:
  virtual ~LayerStore() = default;
  // Makes the layer of an archive with everything below `subfolder` ("/" or "/app"). An existing layer is answered at once. `archive` is borrowed.
  virtual Task<Result<LayerSize>> unpack(Digest digest, int archive, std::string subfolder, uint64_t max_bytes, uint32_t max_files) = 0;
  virtual Task<Result<bool>> has(Digest digest) = 0;
};

class SandboxJobs final : public JobRunner {
 public:
  // How long a starter that died is waited for, to have the job ended that it left behind.
  static constexpr Duration kReconnectTime = std::chrono::seconds(5);
  static constexpr Duration kReconnectEvery = std::chrono::milliseconds(50);

  SandboxJobs(Loop& loop, std::string run_dir) : loop_(loop), path_(run_dir + "/starter.sock") {}
  Task<Result<JobEnd>> run(Job job, TimePoint deadline) override;

 private:
  Task<void> kill_orphan(std::string id);
  Loop& loop_;
  std::string path_;
};

class SandboxLayers final : public LayerStore {
 public:
  static constexpr Duration kUnpackTime = std::chrono::minutes(5);
  SandboxLayers(Loop& loop, std::string run_dir) : loop_(loop), path_(run_dir + "/filler.sock") {}
  Task<Result<LayerSize>> unpack(Digest digest, int archive, std::string subfolder, uint64_t max_bytes, uint32_t max_files) override;
  Task<Result<bool>> has(Digest digest) override;

 private:
  Loop& loop_;
  std::string path_;
};

}  // namespace skerry
