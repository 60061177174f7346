#include "build/stage_job.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <optional>

#include "build/archive.h"
#include "build/offload.h"
#include "contract/function_config.h"
#include "loop/scope.h"
#include "os/file.h"

namespace skerry {
namespace {

constexpr size_t kCaptureBytes = 256U << 10;
constexpr Duration kDrainTime = std::chrono::seconds(30);  // after the last process is dead only what the pipes hold is left

// In a thread: all of `pipe` into `writer`. Past the cap the pipe is closed, and whoever writes dies of it.
Result<BlobStore::Writer> capture(UniqueFd pipe, BlobStore::Writer writer, const std::string& comment) {
  TRY(writer.write(tar_comment(comment)));
  const auto buffer = std::make_unique<char[]>(kCaptureBytes);
  for (;;) {
    const ssize_t n = ::read(pipe.get(), buffer.get(), kCaptureBytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read a job's result");
    if (n == 0) return writer;
    TRY(writer.write({buffer.get(), static_cast<size_t>(n)}));
  }
}

struct Captured {
  std::optional<Result<BlobStore::Writer>> writer;
  Event ended;
  explicit Captured(Loop& loop) : ended(loop) {}
};

Task<void> run_capture(Loop& loop, UniqueFd pipe, BlobStore::Writer writer, std::string comment, Captured& captured) {
  captured.writer.emplace(co_await off_loop<BlobStore::Writer>(
      loop, [pipe = std::move(pipe), writer = std::move(writer), comment = std::move(comment)]() mutable { return capture(std::move(pipe), std::move(writer), comment); }));
  captured.ended.set();
}

Result<void> judge(const std::string& stage, const BuilderLimits& limits, const Result<JobEnd>& ended, std::string_view words) {
  if (!ended) {
    if (ended.error().code() != ErrorCode::kTimeout) return pass(Error(ended.error()), stage);
    return project_failed(stage, fmt::format("did not end within {} s, the limit ([build] timeout_ms in the daemon's configuration), and was stopped", std::chrono::duration_cast<std::chrono::seconds>(limits.time).count()));
  }
  if (ended->out_of_memory) return project_failed(stage, fmt::format("needed more than {} MB of memory", limits.memory_bytes >> 20));
  if (ended->exit_code > 0 && !words.empty()) return project_failed(stage, words);
  if (ended->exit_code > 0) return project_failed(stage, fmt::format("ended with status {}; the last lines of its log say why", ended->exit_code));
  if (ended->exit_code != 0) return project_failed(stage, fmt::format("was ended by signal {}", ended->signal));
  return {};
}

}  // namespace

Result<StageResult> commit_open(BlobStore::Writer& writer) {
  TRY_ASSIGN(UniqueFd archive, open_at(AT_FDCWD, fmt::format("/proc/self/fd/{}", writer.fd()), O_RDONLY));
  TRY_ASSIGN(Digest digest, writer.commit());
  return StageResult{std::move(digest), std::move(archive)};
}

std::unexpected<Error> project_failed(std::string_view stage, std::string_view message) { return fail(ErrorCode::kFunctionFailed, "{}: {}", stage, message); }

Task<Result<StageResult>> run_stage_job(Loop& loop, JobRunner& jobs, BlobStore& blobs, const BuilderLimits& limits, StageJob stage, BuildLog& log) {
  const std::string name = stage.stage;
  const FailureWords words = stage.words;
  CO_TRY_ASSIGN(const UniqueFd input, make_sealed_memfd("input", stage.input));
  CO_TRY_ASSIGN(Pipe errors, make_pipe());
  CO_TRY_ASSIGN(Pipe output, make_pipe());
  CO_TRY(set_nonblocking(errors.read.get()));
  CO_TRY_ASSIGN(BlobStore::Writer writer, blobs.create(limits::kRevisionArchiveBytes));
  Event log_ended(loop);
  Captured captured(loop);
  Scope scope(loop);
  scope.spawn(log.copy(loop, std::move(errors.read), name, log_ended));
  scope.spawn(run_capture(loop, std::move(output.read), std::move(writer), std::move(stage.comment), captured));

  Job job;
  job.label = "build " + name;
  job.layers = std::move(stage.layers);
  job.argv = std::move(stage.argv);
  job.env = std::move(stage.env);
  job.cwd = std::move(stage.cwd);
  job.limits = {limits.memory_bytes, limits.scratch_bytes, limits.cpu_millis, limits.max_processes, limits.max_open_files};
  job.in = input.get();
  job.out = output.write.get();
  job.err = errors.write.get();
  const Result<JobEnd> ended = co_await jobs.run(std::move(job), loop.now() + limits.time);
  errors.write.reset();
  output.write.reset();
  const TimePoint drained = loop.now() + kDrainTime;
  (void)co_await log_ended.wait(drained);
  if (co_await captured.ended.wait(drained) == Wake::kTimeout) co_return fail(ErrorCode::kUnavailable, "{}: the container's output did not end", name);
  // Too much comes first: it is what made the tool fail.
  if (!*captured.writer && captured.writer->error().code() == ErrorCode::kTooLarge)
    co_return project_failed(name, fmt::format("the result is larger than {} GB", limits::kRevisionBytes >> 30));
  CO_TRY(judge(name, limits, ended, words == FailureWords::kLastLine ? log.last_line() : ""));
  if (!*captured.writer) co_return pass(std::move(*captured.writer).error(), name);
  co_return co_await off_loop<StageResult>(loop, [kept = std::move(**captured.writer)]() mutable { return commit_open(kept); });
}

}  // namespace skerry
