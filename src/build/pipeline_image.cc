// The stages of an image in a registry: resolve, pull.
#include "build/languages.h"
#include "build/pipeline_run.h"

namespace skerry {
namespace {

constexpr Duration kResolveTime = std::chrono::seconds(40);  // pull.py gives a registry 15 s; a busy machine starts it late
constexpr size_t kDigestBytes = 128;

}  // namespace

Result<void> Pipeline::order_pull(const Run& run, StageJob& job) const {
  TRY_ASSIGN(job.input, registry_orders(settings_.registries, *run.request.image));
  job.argv = {"python3", "-I", "/skerry/shim/image/pull.py", "pull"};
  job.words = FailureWords::kLastLine;
  return {};
}

Task<Result<Digest>> Pipeline::ask_registry(Run& run) {
  StageJob job;
  job.stage = "resolve";
  job.layers = {run.toolchain, run.machine, run.shim};
  job.env = job_environment();
  CO_TRY(order_pull(run, job));
  job.argv.back() = "resolve";
  BuilderLimits limits = settings_.limits;
  limits.time = std::min<Duration>(limits.time, kResolveTime);
  CO_TRY_ASSIGN(const StageResult answer, co_await run_stage_job(loop_, jobs_, blobs_, limits, std::move(job), run.log));
  blobs_.remove(answer.digest);
  const auto listing = list_archive(answer.archive.get(), [](std::string_view path) { return path == "digest"; }, {kDigestBytes, 1});
  if (!listing || !listing->contents.contains("digest")) co_return fail(ErrorCode::kInternal, "resolve: the answer of pull.py cannot be read");
  co_return Digest::parse(listing->contents.at("digest"));
}

Task<Result<ResolvedImage>> Pipeline::resolve(BuildRequest request, BuildProgress& progress) {
  if (!request.image) co_return fail(ErrorCode::kInternal, "resolve: there is no image");
  CO_TRY_ASSIGN(const BuildGate::Place place, co_await gate_.enter());
  CO_TRY_ASSIGN(BuildLog log, BuildLog::create(settings_.builds_dir, request.build_id, progress));
  Run run{.request = std::move(request), .log = std::move(log)};
  const TimePoint begin = loop_.now();
  run.log.stage("resolve", StageState::kBegin, 0);
  CO_TRY_ASSIGN(run.recipe, find_recipe("image", run.request.version));
  CO_TRY(co_await find_layers(run));
  std::optional<Digest>& digest = run.request.image->digest;
  if (!digest) {
    CO_TRY_ASSIGN(digest, co_await ask_registry(run));
  }
  CO_TRY_ASSIGN(const auto known, co_await remembered(key_of_build(run)));
  run.log.stage("resolve", StageState::kDone, std::chrono::duration_cast<std::chrono::milliseconds>(loop_.now() - begin).count());
  co_return ResolvedImage{*digest, known.has_value()};
}

}  // namespace skerry
