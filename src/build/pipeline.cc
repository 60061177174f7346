#include "build/pipeline.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "build/languages.h"
#include "contract/function_config.h"
#include "crypto/hash.h"
#include "crypto/encoding.h"
#include "json/json.h"
#include "loop/scope.h"
#include "os/file.h"

namespace skerry {
namespace {

constexpr const char* kRevisionFile = ".skerry/revision.json";
constexpr const char* kCaPath = "/skerry/build/ca.pem";
constexpr const char* kPythonPackages = "/usr/local/lib/python{}/dist-packages";
constexpr const char* kPythonDeps = "/skerry/shim/python/build/deps.py";
constexpr size_t kMaxCurrentBytes = 64 * 1024;

int64_t ms_since(Loop& loop, TimePoint begin) { return std::chrono::duration_cast<std::chrono::milliseconds>(loop.now() - begin).count(); }

std::unexpected<Error> project_failed(std::string_view stage, std::string_view message) {
  return fail(ErrorCode::kFunctionFailed, "{}: {}", stage, message);
}

}  // namespace

struct Pipeline::Run {
  BuildRequest request;
  BuildProgress& progress;
  UniqueFd log;
  uint64_t logged = 0;
  ArchiveListing listing;
  LanguageRecipe recipe;
};

Pipeline::Pipeline(Loop& loop, const Logger& logger, BlobStore& blobs, JobRunner& jobs, LayerStore& layers, PipelineSettings settings)
    : loop_(loop), logger_(logger), blobs_(blobs), jobs_(jobs), layers_(layers), settings_(std::move(settings)) {}

Task<Result<BuildResult>> Pipeline::build(BuildRequest request, BuildProgress& progress) {
  Run run{std::move(request), progress, {}, 0, {}, {}};
  CO_TRY_ASSIGN(run.log, open_at(AT_FDCWD, fmt::format("{}/{}.log", settings_.builds_dir, run.request.build_id), O_WRONLY | O_CREAT | O_TRUNC, 0600));
  CO_TRY(co_await detect(run));
  Result<BuildResult> result = fail(ErrorCode::kInternal, "no such language");
  if (run.recipe.language == "python") result = co_await build_python(run);
  else result = co_await build_in_container(run, run.recipe);
  if (!result) co_return result;
  result->language = run.recipe.language;
  result->version = run.recipe.version;
  if (!run.request.entrypoint.empty()) {
    result->argv = run.request.entrypoint;
    result->transport = Transport::kTcp;
  }
  if (run.request.health_path) result->health_path = *run.request.health_path;
  co_return result;
}

Task<Result<void>> Pipeline::detect(Run& run) {
  const TimePoint begin = loop_.now();
  run.progress.stage("detect", StageState::kBegin, 0);
  CO_TRY_ASSIGN(const UniqueFd upload, blobs_.open_blob(run.request.upload));
  CO_TRY_ASSIGN(run.listing, list_archive(upload.get(), {"requirements.txt", "pyproject.toml", "package.json", "package-lock.json", "go.mod", "go.sum", "pom.xml"}));
  std::string language = run.request.language;
  if (language.empty()) {
    CO_TRY_ASSIGN(language, detect_language(run.listing));
  }
  CO_TRY_ASSIGN(run.recipe, find_recipe(language, run.request.version));
  run.progress.stage("detect", StageState::kDone, ms_since(loop_, begin));
  co_return Result<void>{};
}

// ---- layers

Result<std::string> Pipeline::cached(const std::string& key) const {
  return read_file(settings_.cache_dir + "/" + key, 256);
}

void Pipeline::remember(const std::string& key, const Digest& layer) const {
  auto folder = open_at(AT_FDCWD, settings_.cache_dir, O_RDONLY | O_DIRECTORY);
  // A cache that cannot be written costs time, nothing else.
  if (!folder || !write_file_atomic(folder->get(), key, layer.str(), 0600)) logger_.warn("the build cache cannot be written");
}

Task<Result<Digest>> Pipeline::image_layer(std::string name) {
  if (const auto known = known_layers_.find("image:" + name); known != known_layers_.end()) co_return known->second;
  const std::string folder = settings_.images_dir + "/" + name;
  auto current = read_file(folder + "/current", kMaxCurrentBytes);
  if (!current) co_return fail(ErrorCode::kUnavailable, "the base image `{}` is not there yet; `images/build --only {}` makes it (`make up` makes all)", name, name);
  CO_TRY_ASSIGN(const json::value description, json::parse(*current), folder);
  const json::object* object = description.if_object();
  const json::value* recipe = object != nullptr ? object->if_contains("recipe") : nullptr;
  const json::value* sum = object != nullptr ? object->if_contains("sha256") : nullptr;
  if (recipe == nullptr || sum == nullptr || !recipe->is_string() || !sum->is_string()) co_return fail(ErrorCode::kCorrupt, "{}/current is not an image's description", folder);
  std::string text(sum->get_string());
  if (!text.starts_with("sha256:")) text = "sha256:" + text;
  CO_TRY_ASSIGN(const Digest digest, Digest::parse(text), folder);
  std::string recipe_hex(recipe->get_string());
  if (recipe_hex.starts_with("sha256:")) recipe_hex = recipe_hex.substr(7);
  CO_TRY_ASSIGN(const UniqueFd tar, open_at(AT_FDCWD, fmt::format("{}/{}.tar", folder, recipe_hex), O_RDONLY));
  CO_TRY(co_await layers_.unpack(digest, tar.get(), "/", 4ULL << 30, 500'000), "base image " + name);
  known_layers_["image:" + name] = digest;
  co_return digest;
}

Task<Result<Digest>> Pipeline::text_layer(std::string tar, std::string subfolder) {
  CO_TRY_ASSIGN(BlobStore::Writer writer, blobs_.create(64ULL << 20));
  CO_TRY(writer.write(tar));
  CO_TRY_ASSIGN(const Digest digest, writer.commit());
  CO_TRY_ASSIGN(const UniqueFd blob, blobs_.open_blob(digest));
  CO_TRY(co_await layers_.unpack(digest, blob.get(), std::move(subfolder), 256ULL << 20, 10'000));
  co_return digest;
}

Task<Result<Digest>> Pipeline::shim_layer(std::string language) {
  if (const auto known = known_layers_.find("shim:" + language); known != known_layers_.end()) co_return known->second;
  TarText tar;
  CO_TRY(tar.add_folder(settings_.shims_dir + "/" + language, {"tests", "__pycache__", "node_modules", "README.md"}), "the shim of " + language);
  CO_TRY_ASSIGN(const Digest digest, co_await text_layer(tar.finish(), "/skerry/shim/" + language));
  known_layers_["shim:" + language] = digest;
  co_return digest;
}

Task<Result<Digest>> Pipeline::ca_layer() {
  auto bundle = read_file(settings_.ca_bundle, 8U << 20);
  TarText tar;
  CO_TRY(tar.add("ca.pem", bundle ? *bundle : ""));
  co_return co_await text_layer(tar.finish(), "/skerry/build");
}

// ---- one step in a container

namespace {

// Reads a job's standard error line by line: into the kept log, and to whoever watches.
Task<void> copy_log(Loop& loop, UniqueFd pipe, std::string stage, BuildProgress& progress, int log, uint64_t& logged, uint64_t limit, Event& ended) {
  FdWatch watch(loop, pipe.get());
  std::string partial;
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::read(pipe.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EAGAIN) {
      (void)co_await watch.readable().wait();
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    if (logged < limit) (void)write_all(log, {buffer, static_cast<size_t>(n)});
    logged += static_cast<uint64_t>(n);
    partial.append(buffer, static_cast<size_t>(n));
    for (size_t end = partial.find('\n'); end != std::string::npos; end = partial.find('\n')) {
      progress.log(stage, std::string_view(partial).substr(0, end));
      partial.erase(0, end + 1);
    }
    if (partial.size() > 16384) partial.clear();  // no line that anyone reads
  }
  if (!partial.empty()) progress.log(stage, partial);
  ended.set();
}

}  // namespace

Task<Result<void>> Pipeline::run_job(Run& run, Step step, int out) {
  CO_TRY_ASSIGN(const Digest toolchain, co_await image_layer(step.toolchain));
  CO_TRY_ASSIGN(const Digest ca, co_await ca_layer());
  Job job;
  job.label = "build";
  job.layers = {toolchain, ca};
  job.layers.insert(job.layers.end(), step.layers.begin(), step.layers.end());
  job.argv = step.argv;
  job.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/home/fn", "USER=fn", "TMPDIR=/tmp", "LANG=C.UTF-8", "TZ=UTC", "CI=1",
             std::string("SSL_CERT_FILE=") + kCaPath, std::string("PIP_CERT=") + kCaPath, std::string("REQUESTS_CA_BUNDLE=") + kCaPath,
             std::string("NODE_EXTRA_CA_CERTS=") + kCaPath, std::string("NPM_CONFIG_CAFILE=") + kCaPath, std::string("CURL_CA_BUNDLE=") + kCaPath};
  job.env.insert(job.env.end(), settings_.environment.begin(), settings_.environment.end());
  job.env.insert(job.env.end(), step.env.begin(), step.env.end());
  job.cwd = "/tmp";
  job.limits.memory_bytes = settings_.job_memory_bytes;
  job.limits.scratch_bytes = settings_.job_scratch_bytes;
  job.limits.cpu_millis = 2000;
  CO_TRY_ASSIGN(const UniqueFd input, make_sealed_memfd("input", step.input));
  CO_TRY_ASSIGN(Pipe log, make_pipe());
  CO_TRY(set_nonblocking(log.read.get()));
  job.in = input.get();
  job.out = out;
  job.err = log.write.get();
  Event log_ended(loop_);
  Scope copying(loop_);
  copying.spawn(copy_log(loop_, std::move(log.read), step.stage, run.progress, run.log.get(), run.logged, kMaxLogBytes, log_ended));
  const TimePoint deadline = loop_.now() + settings_.job_time;
  auto ended = co_await jobs_.run(std::move(job), deadline);
  log.write.reset();
  (void)co_await log_ended.wait(loop_.now() + std::chrono::seconds(5));
  if (!ended && ended.error().code() == ErrorCode::kTimeout)
    co_return project_failed(step.stage, fmt::format("did not end within {} s and was stopped", std::chrono::duration_cast<std::chrono::seconds>(settings_.job_time).count()));
  if (!ended) co_return pass(std::move(ended).error(), step.stage);
  if (ended->out_of_memory) co_return project_failed(step.stage, fmt::format("needed more than {} MB of memory", settings_.job_memory_bytes >> 20));
  if (ended->exit_code != 0) co_return project_failed(step.stage, fmt::format("ended with status {}; its last lines are above", ended->exit_code >= 0 ? ended->exit_code : ended->signal));
  co_return Result<void>{};
}

Task<Result<Digest>> Pipeline::run_step(Run& run, Step step) {
  const TimePoint begin = loop_.now();
  const std::string key = step.cache_key, subfolder = step.subfolder, stage = step.stage;
  run.progress.stage(stage, StageState::kBegin, 0);
  if (!key.empty()) {
    if (auto found = cached(key); found) {
      auto digest = Digest::parse(*found);
      auto there = digest ? co_await layers_.has(*digest) : Result<bool>(false);
      if (there && *there) {
        run.progress.stage(stage, StageState::kCached, ms_since(loop_, begin));
        co_return *digest;
      }
    }
  }
  CO_TRY_ASSIGN(BlobStore::Writer result, blobs_.create(limits::kRevisionBytes));
  CO_TRY(co_await run_job(run, std::move(step), result.fd()));
  auto digest = result.commit();
  if (!digest && digest.error().code() == ErrorCode::kTooLarge) co_return project_failed(stage, fmt::format("the result is larger than {} GB", limits::kRevisionBytes >> 30));
  if (!digest) co_return pass(std::move(digest).error(), stage);
  CO_TRY_ASSIGN(const UniqueFd blob, blobs_.open_blob(*digest));
  auto unpacked = co_await layers_.unpack(*digest, blob.get(), subfolder, limits::kRevisionBytes, limits::kRevisionFiles);
  if (!unpacked) co_return pass(std::move(unpacked).error(), stage);
  if (!key.empty()) remember(key, *digest);
  run.progress.stage(stage, StageState::kDone, ms_since(loop_, begin));
  co_return *digest;
}

// ---- languages

Task<Result<BuildResult>> Pipeline::build_python(Run& run) {
  const std::string entry = python_entry(run.listing);
  if (entry.empty() && run.request.entrypoint.empty())
    co_return project_failed("detect", "no entry: one of function/func.py, func.py, main.py, app.py must be there, or [runtime] entrypoint set");
  BuildResult result;
  CO_TRY_ASSIGN(const Digest image, co_await image_layer(run.recipe.run_image));
  CO_TRY_ASSIGN(const Digest shim, co_await shim_layer("python"));
  result.layers = {image, shim};
  const bool has_manifest = run.listing.contents.contains("requirements.txt") || run.listing.contents.contains("pyproject.toml");
  if (has_manifest) {
    TarText manifests;
    std::string identity = run.recipe.build_image;
    CO_TRY_ASSIGN(const Digest toolchain, co_await image_layer(run.recipe.build_image));
    identity += toolchain.str() + shim.str();
    for (const auto& [path, text] : run.listing.contents) {
      if (path != "requirements.txt" && path != "pyproject.toml") continue;
      CO_TRY(manifests.add(path, text));
      identity += fmt::format("\n{} {}\n", path, text.size()) + text;
    }
    Step deps;
    deps.stage = "deps";
    deps.toolchain = run.recipe.build_image;
    deps.layers = {shim};
    deps.argv = {"python3", "-I", kPythonDeps};
    deps.input = manifests.finish();
    deps.cache_key = "python-" + hex(sha256(identity));
    deps.subfolder = fmt::format(fmt::runtime(kPythonPackages), run.recipe.version);
    CO_TRY_ASSIGN(const Digest packages, co_await run_step(run, std::move(deps)));
    result.layers.push_back(packages);
  }
  const TimePoint begin = loop_.now();
  run.progress.stage("layer", StageState::kBegin, 0);
  CO_TRY_ASSIGN(const UniqueFd upload, blobs_.open_blob(run.request.upload));
  auto unpacked = co_await layers_.unpack(run.request.upload, upload.get(), "/app", limits::kUnpackedBytes, limits::kUploadFiles);
  if (!unpacked && (unpacked.error().code() == ErrorCode::kInvalidArgument || unpacked.error().code() == ErrorCode::kForbidden))
    co_return project_failed("unpack", unpacked.error().message());
  if (!unpacked) co_return pass(std::move(unpacked).error(), "unpack");
  run.progress.stage("layer", StageState::kDone, ms_since(loop_, begin));
  result.layers.push_back(run.request.upload);
  result.size_bytes = unpacked->bytes;
  result.argv = {"python3", "-B", "/skerry/shim/python/main.py"};
  result.env = {"PYTHONUNBUFFERED=1", "SKERRY_SHIM=1", "SKERRY_ENTRY=" + entry};
  co_return result;
}

// Node.js, Go and Java: the language's own script does the work in its build image and leaves what runs, and how, in /out.
Task<Result<BuildResult>> Pipeline::build_in_container(Run& run, const LanguageRecipe& recipe) {
  BuildResult result;
  const TimePoint begin = loop_.now();
  run.progress.stage("unpack", StageState::kBegin, 0);
  CO_TRY_ASSIGN(const Digest image, co_await image_layer(recipe.run_image));
  CO_TRY_ASSIGN(const Digest shim, co_await shim_layer(recipe.language));
  CO_TRY_ASSIGN(const UniqueFd upload, blobs_.open_blob(run.request.upload));
  auto source = co_await layers_.unpack(run.request.upload, upload.get(), "/src", limits::kUnpackedBytes, limits::kUploadFiles);
  if (!source && (source.error().code() == ErrorCode::kInvalidArgument || source.error().code() == ErrorCode::kForbidden))
    co_return project_failed("unpack", source.error().message());
  if (!source) co_return pass(std::move(source).error(), "unpack");
  run.progress.stage("unpack", StageState::kDone, ms_since(loop_, begin));

  Step step;
  step.stage = "build";
  step.toolchain = recipe.build_image;
  step.layers = {shim, run.request.upload};
  step.argv = {"sh", "-c", fmt::format("sh /skerry/shim/{}/build.sh >&2 && tar -C /out -cf - .", recipe.language)};
  step.env = {"SKERRY_SRC=/src", "SKERRY_OUT=/out", fmt::format("SKERRY_MEMORY_MB={}", run.request.memory_bytes >> 20)};
  if (!run.request.build_command.empty()) step.env.push_back("SKERRY_BUILD_COMMAND=" + run.request.build_command);
  if (!run.request.entrypoint.empty()) step.env.push_back("SKERRY_OWN_SERVER=1");
  step.subfolder = "/app";
  CO_TRY_ASSIGN(const Digest built, co_await run_step(run, std::move(step)));

  CO_TRY_ASSIGN(const UniqueFd blob, blobs_.open_blob(built));
  CO_TRY_ASSIGN(ArchiveListing out, list_archive(blob.get(), {kRevisionFile}), "build result");
  if (!out.contents.contains(kRevisionFile)) co_return project_failed("build", "the build script left no .skerry/revision.json");
  CO_TRY_ASSIGN(const json::value recorded, json::parse(out.contents[kRevisionFile]), "build result");
  json::ObjectReader r(recorded, "revision.json");
  const std::string shape = r.string("shape", 32);
  const std::string entry = r.string("entry", 4096);
  result.argv = r.strings("argv", kMaxArguments, kMaxStringBytes);
  result.env = r.strings("env", 64, kMaxStringBytes);
  result.health_path = r.string("health_path", 1024);
  if (result.argv.empty() && run.request.entrypoint.empty()) r.refuse("argv", "is empty");
  if (auto good = r.finish(); !good) co_return project_failed("build", good.error().message());
  result.transport = shape == "server" ? Transport::kTcp : Transport::kUnix;
  result.env.push_back("SKERRY_SHIM=1");
  result.env.push_back("SKERRY_ENTRY=" + entry);
  result.env.push_back("SKERRY_SHAPE=" + shape);
  result.layers = {image};
  if (recipe.language != "go") result.layers.push_back(shim);  // Go's is compiled in
  result.layers.push_back(built);
  struct stat st {};
  if (::fstat(blob.get(), &st) == 0) result.size_bytes = static_cast<uint64_t>(st.st_size);
  co_return result;
}

}  // namespace skerry
