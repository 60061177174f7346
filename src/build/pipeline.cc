#include "build/pipeline.h"

#include <algorithm>

#include "build/languages.h"
#include "build/offload.h"
#include "build/pipeline_run.h"
#include "contract/function_config.h"

namespace skerry {
namespace {

// Raise it when what a stage leaves behind changes its meaning; then nothing remembered is found.
constexpr std::string_view kCacheFormat = "1";
// Node.js has authorities of its own, and takes those of its system instead when it is told so at its start: by this flag, which costs nothing, while one file
// more in NODE_EXTRA_CA_CERTS has it read all of its own first. Beside it the folder, for its OpenSSL has another.
constexpr std::string_view kNodeTrust = "--use-openssl-ca";
constexpr const char* kTrustFolder = "SSL_CERT_DIR=/etc/ssl/certs";
constexpr const char* kJavaRuntime = "/skerry-java";  // shims/java/build.sh names it, too; starter makes the folder for jobs
constexpr ArchiveBounds kUploadBounds{limits::kUnpackedBytes, limits::kUploadFiles};
constexpr Duration kProbeTime = std::chrono::seconds(40);  // 10 s to listen, two answers of 5 s, and a busy machine
constexpr ArchiveBounds kResultBounds{limits::kRevisionBytes, limits::kRevisionFiles};

int64_t ms_since(Loop& loop, TimePoint begin) { return std::chrono::duration_cast<std::chrono::milliseconds>(loop.now() - begin).count(); }

// What the archive's author did, not the platform.
bool is_projects_fault(ErrorCode code) {
  return code == ErrorCode::kInvalidArgument || code == ErrorCode::kForbidden || code == ErrorCode::kTooLarge || code == ErrorCode::kCorrupt;
}
std::unexpected<Error> blame(std::string_view stage, Error&& error) {
  if (is_projects_fault(error.code())) return project_failed(stage, error.message());
  return pass(std::move(error), stage);
}

std::string python_packages(const std::string& version) { return fmt::format("/usr/local/lib/python{}/dist-packages", version); }

// Where what `deps` installed is mounted. Of Python and Node.js it is part of the revision, of Go and Java only the build needs it.
std::string dependency_folder(const LanguageRecipe& recipe) {
  if (recipe.language == "python") return python_packages(recipe.version);
  if (recipe.language == "node") return "/app";
  return "/skerry/deps/" + recipe.language;
}
bool runs_with_dependencies(const std::string& language) { return language == "python" || language == "node"; }
// Which packages Go compiles ahead, and what Maven's plugins ask for, only the code tells.
bool deps_sees_source(const std::string& language, const DependencyPlan& plan) { return plan.with_source || language == "go" || language == "java"; }
bool builds_in_place(const std::string& language) { return language == "python" || language == "node"; }

// A container has a bounded number of layers, and each source is one.
PipelineSettings bounded(PipelineSettings settings, const Logger& logger) {
  if (settings.sources.size() > Pipeline::kMaxSources) {
    logger.warn("only the first dependency sources are used", {{"used", static_cast<int64_t>(Pipeline::kMaxSources)}});
    settings.sources.resize(Pipeline::kMaxSources);
  }
  return settings;
}

}  // namespace

Pipeline::Pipeline(Loop& loop, const Logger& logger, BlobStore& blobs, JobRunner& jobs, LayerStore& layers, PipelineSettings settings)
    : loop_(loop),
      logger_(logger),
      blobs_(blobs),
      jobs_(jobs),
      layers_(layers),
      settings_(bounded(std::move(settings), logger)),
      index_(settings_.cache_dir),
      platform_(loop, blobs, layers, index_, {settings_.images_dir, settings_.shims_dir, settings_.java_library, settings_.ca_bundle, settings_.local_ca_pem, settings_.client_files, settings_.sources}),
      gate_(loop, kMaxBuilds, kMaxWaiting) {}

Task<Result<BuildResult>> Pipeline::build(BuildRequest request, BuildProgress& progress) {
  CO_TRY_ASSIGN(const BuildGate::Place place, co_await gate_.enter());
  CO_TRY_ASSIGN(BuildLog log, BuildLog::create(settings_.builds_dir, request.build_id, progress));
  Run run{.request = std::move(request), .log = std::move(log)};
  if (run.request.image) {
    CO_TRY_ASSIGN(run.recipe, find_recipe("image", run.request.version));
  } else {
    CO_TRY(co_await unpack(run));
    CO_TRY(co_await detect(run));
  }
  CO_TRY(co_await find_layers(run));
  CO_TRY(co_await install_dependencies(run));
  CO_TRY(co_await build_project(run));
  co_return co_await assemble(run);
}

// ---- unpack, detect

Task<Result<void>> Pipeline::unpack(Run& run) {
  const TimePoint begin = loop_.now();
  run.log.stage("unpack", StageState::kBegin, 0);
  CO_TRY_ASSIGN(const UniqueFd upload, blobs_.open_blob(run.request.upload));
  auto unpacked = co_await layers_.unpack(run.request.upload, upload.get(), "/app", kUploadBounds.bytes, kUploadBounds.files);
  if (!unpacked) co_return blame("unpack", std::move(unpacked).error());
  run.upload_bytes = unpacked->bytes;
  run.log.stage("unpack", StageState::kDone, ms_since(loop_, begin));
  co_return Result<void>{};
}

Task<Result<void>> Pipeline::detect(Run& run) {
  const TimePoint begin = loop_.now();
  run.log.stage("detect", StageState::kBegin, 0);
  CO_TRY_ASSIGN(UniqueFd upload, blobs_.open_blob(run.request.upload));
  auto listing = co_await off_loop<ArchiveListing>(loop_, [upload = std::move(upload)] { return list_archive(upload.get(), is_manifest, kUploadBounds); });
  if (!listing) co_return blame("detect", std::move(listing).error());
  run.listing = std::move(*listing);
  if (run.listing.files.empty()) co_return project_failed("detect", "the upload has no file");
  std::string language = run.request.language;
  if (language.empty()) {
    CO_TRY_ASSIGN(language, detect_language(run.listing));
  }
  CO_TRY_ASSIGN(run.recipe, find_recipe(language, run.request.version));
  CO_TRY_ASSIGN(run.plan, plan_dependencies(language, run.listing));
  if (language == "python" && !run.own_server() && run.request.build_command.empty() && python_entry(run.listing).empty())
    co_return project_failed("detect", "no entry: one of function/func.py, func.py, main.py, app.py must be there, or [runtime] entrypoint set");
  run.log.stage("detect", StageState::kDone, ms_since(loop_, begin));
  co_return Result<void>{};
}

Task<Result<void>> Pipeline::find_layers(Run& run) {
  const TimePoint begin = loop_.now();
  CO_TRY(co_await find_platform(run));
  if (run.unpacks_image) run.log.stage("image", StageState::kDone, ms_since(loop_, begin));
  co_return Result<void>{};
}

// The first build of a language unpacks its images, which takes seconds: a stage of its own, then.
Task<Result<Digest>> Pipeline::find_image(Run& run, std::string name) {
  co_return co_await platform_.image(std::move(name), [&run] {
    if (!std::exchange(run.unpacks_image, true)) run.log.stage("image", StageState::kBegin, 0);
  });
}

Task<Result<void>> Pipeline::find_platform(Run& run) {
  if (!run.recipe.run_image.empty()) {
    CO_TRY_ASSIGN(run.image, co_await find_image(run, run.recipe.run_image));
    if (!settings_.local_ca_pem.empty()) {
      CO_TRY_ASSIGN(run.trust, co_await platform_.trust(run.recipe.run_image));
    }
  }
  CO_TRY_ASSIGN(run.shim, co_await platform_.shim(run.recipe.language));
  // A project that needs no tool is not kept waiting for a toolchain.
  if (run.recipe.language == "python" && !run.plan.wanted && run.request.build_command.empty()) co_return Result<void>{};
  CO_TRY_ASSIGN(run.toolchain, co_await find_image(run, run.recipe.build_image));
  CO_TRY_ASSIGN(run.machine, co_await platform_.machine());
  co_return Result<void>{};
}

// Java: the shim as it runs, compiled, with the archive of its classes. Made where the run image lies over the toolchain: the archive is good for the very
// files of the java that made it, at the path where it was made.
Task<Result<Digest>> Pipeline::java_runtime(Run& run) {
  Cached work;
  work.key = key(run, "runtime").add(run.image.str()).key();
  work.subfolder = kJavaRuntime;
  work.job.stage = "layer";
  work.job.layers = {run.toolchain, run.image, run.shim};
  work.job.argv = {"sh", "-c", "sh /skerry/shim/java/runtime.sh \"$0\" >&2 && exec tar -C \"$0\" --sort=name -cf - .", kJavaRuntime};
  work.job.env = job_environment();
  co_return co_await layer_of(run, std::move(work));
}

// ---- jobs

std::vector<std::string> Pipeline::job_environment() const {
  const std::string ca = kCaPath;
  std::vector<std::string> env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/home/fn", "USER=fn", "TMPDIR=/tmp", "LANG=C.UTF-8", "TZ=UTC", "CI=1"};
  for (const char* name : {"SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "NPM_CONFIG_CAFILE", "CURL_CA_BUNDLE"}) env.push_back(fmt::format("{}={}", name, ca));
  // The machine's own settings win, name by name: a container's environment has each name once.
  for (const std::string& entry : settings_.environment) {
    const std::string prefix = entry.substr(0, entry.find('=') + 1);
    std::erase_if(env, [&](const std::string& have) { return have.starts_with(prefix); });
    env.push_back(entry);
  }
  return env;
}

KeyMaker Pipeline::key(const Run& run, std::string prefix) const {
  KeyMaker maker(std::move(prefix) + "-" + run.recipe.language);
  maker.add(kCacheFormat).add(run.toolchain.str()).add(run.shim.str()).add(run.machine.str());
  for (const std::string& entry : settings_.environment) maker.add(entry);
  return maker;
}

Task<Result<std::optional<LayerIndex::Entry>>> Pipeline::remembered(std::string key) {
  auto entry = index_.find(key);
  if (!entry) co_return std::optional<LayerIndex::Entry>();
  CO_TRY_ASSIGN(const bool there, co_await layers_.has(entry->layer));
  if (there) co_return entry;
  index_.forget(key);
  co_return std::optional<LayerIndex::Entry>();
}

Task<Result<Digest>> Pipeline::layer_of(Run& run, Cached work) {
  CO_TRY_ASSIGN(const auto known, co_await remembered(work.key));
  if (known) co_return known->layer;
  const std::string stage = work.job.stage;
  work.job.comment = work.subfolder;
  CO_TRY_ASSIGN(StageResult blob, co_await run_stage_job(loop_, jobs_, blobs_, settings_.limits, std::move(work.job), run.log));
  auto layer = co_await platform_.unpack_and_drop(std::move(blob), work.subfolder, kResultBounds.bytes, kResultBounds.files);
  if (!layer) co_return blame(stage, std::move(layer).error());
  // A memory that cannot be written costs time, nothing else.
  if (auto kept = index_.remember(work.key, {*layer, ""}); !kept) logger_.warn("the build cache cannot be written", {{"error", kept.error().message()}});
  co_return *layer;
}

// ---- deps

Task<Result<void>> Pipeline::install_dependencies(Run& run) {
  if (!run.plan.wanted) co_return Result<void>{};
  const std::string& language = run.recipe.language;
  const TimePoint begin = loop_.now();
  run.log.stage("deps", StageState::kBegin, 0);
  KeyMaker maker = key(run, "deps");
  TarText inputs;
  for (const std::string& path : run.plan.inputs) {
    const std::string& text = run.listing.contents.at(path);
    CO_TRY(inputs.add(path, text));
    maker.add(path).add(text);
  }
  if (run.plan.with_source) maker.add(run.request.upload.str());
  // SECURITY: Maven's plugins run with the code in sight and could leave a prepared repository behind; it is for this function alone.
  if (language == "java") maker.add(run.request.function.str());
  run.dependency_key = maker.key();
  CO_TRY_ASSIGN(const auto known, co_await remembered(run.dependency_key));
  if (known) {
    run.dependencies = known->layer;
    run.log.stage("deps", StageState::kCached, ms_since(loop_, begin));
    co_return Result<void>{};
  }
  Cached work;
  work.key = run.dependency_key;
  work.subfolder = dependency_folder(run.recipe);
  work.job.stage = "deps";
  work.job.layers = {run.toolchain, run.machine, run.shim};
  CO_TRY_ASSIGN(const PlatformLayers::Sources sources, co_await platform_.sources(language));
  work.job.layers.insert(work.job.layers.end(), sources.layers.begin(), sources.layers.end());
  const bool sees_source = deps_sees_source(language, run.plan);
  if (sees_source) work.job.layers.push_back(run.request.upload);
  work.job.argv = language == "python" ? std::vector<std::string>{"python3", "-I", "/skerry/shim/python/build/deps.py"}
                                       : std::vector<std::string>{"sh", fmt::format("/skerry/shim/{}/deps.sh", language)};
  work.job.env = job_environment();
  work.job.env.push_back(fmt::format("SKERRY_SOURCES={}", fmt::join(sources.paths, " ")));
  if (sees_source) work.job.env.emplace_back("SKERRY_SRC=/app");
  work.job.input = inputs.finish();
  CO_TRY_ASSIGN(run.dependencies, co_await layer_of(run, std::move(work)));
  run.log.stage("deps", StageState::kDone, ms_since(loop_, begin));
  co_return Result<void>{};
}

// Node.js: what the build needed and the function does not is left out of the revision.
Task<Result<Digest>> Pipeline::prune_dependencies(Run& run) {
  if (!run.plan.has_development) co_return *run.dependencies;
  Cached work;
  work.key = KeyMaker("prune-node").add(run.dependency_key).add(run.dependencies->str()).key();
  work.subfolder = dependency_folder(run.recipe);
  work.job.stage = "deps";
  work.job.layers = {run.toolchain, run.machine, run.shim, *run.dependencies};
  if (run.plan.with_source) work.job.layers.push_back(run.request.upload);
  work.job.argv = {"sh", "/skerry/shim/node/prune.sh"};
  work.job.env = job_environment();
  if (run.plan.with_source) work.job.env.emplace_back("SKERRY_SRC=/app");
  TarText inputs;
  for (const std::string& path : run.plan.inputs) CO_TRY(inputs.add(path, run.listing.contents.at(path)));
  work.job.input = inputs.finish();
  co_return co_await layer_of(run, std::move(work));
}

// ---- build

std::string Pipeline::key_of_build(const Run& run) const {
  KeyMaker maker = key(run, "build");
  const auto& image = run.request.image;
  // An image by where it lies, too: who knows the digest of one that he may not read gets nothing.
  maker.add(run.dependencies ? run.dependencies->str() : "").add(image ? fmt::format("{}/{}@{}", image->registry, image->repository, image->digest->str()) : run.request.upload.str());
  return maker.add(run.request.build_command).add(run.own_server() ? "own" : "shim").add(std::to_string(run.request.memory_bytes)).key();
}

Task<Result<void>> Pipeline::build_project(Run& run) {
  const std::string& language = run.recipe.language;
  if (language == "python" && run.request.build_command.empty()) {
    run.app = run.request.upload;
    co_return Result<void>{};
  }
  const TimePoint begin = loop_.now();
  const std::string stage = run.request.image ? "pull" : "build";
  run.log.stage(stage, StageState::kBegin, 0);
  const std::string build_key = key_of_build(run);
  CO_TRY_ASSIGN(const auto known, co_await remembered(build_key));
  if (known) {
    if (auto made = RevisionFile::parse(known->note)) {
      run.made = std::move(*made);
      run.app = known->layer;
      run.log.stage(stage, StageState::kCached, ms_since(loop_, begin));
      co_return Result<void>{};
    }
  }
  StageJob job;
  job.stage = stage;
  job.layers = {run.toolchain, run.machine, run.shim};
  if (run.dependencies) job.layers.push_back(*run.dependencies);
  if (!run.request.image) job.layers.push_back(run.request.upload);
  const std::string out = builds_in_place(language) ? "/app" : "/out";
  // The script's own words go to the log; the result alone to standard output. What it lists in /tmp/skerry-exclude stays behind.
  job.argv = {"sh", "-c",
              "touch /tmp/skerry-exclude && sh \"$0\" >&2 && exec tar -C \"$SKERRY_OUT\" --sort=name --exclude-from=/tmp/skerry-exclude -cf - .",
              fmt::format("/skerry/shim/{}/build.sh", language)};
  job.cwd = "/app";
  job.env = job_environment();
  job.env.insert(job.env.end(), {"SKERRY_SRC=/app", "SKERRY_OUT=" + out, fmt::format("SKERRY_MEMORY_MB={}", run.request.memory_bytes >> 20)});
  if (run.dependencies) job.env.push_back("SKERRY_DEPS=" + dependency_folder(run.recipe));
  if (!run.request.build_command.empty()) job.env.push_back("SKERRY_BUILD_COMMAND=" + run.request.build_command);
  if (run.own_server()) job.env.emplace_back("SKERRY_OWN_SERVER=1");
  // An image is its own root; everything else is mounted where its author knows it.
  const std::string subfolder = language == "image" ? "/" : "/app";
  if (run.request.image) {
    CO_TRY(order_pull(run, job));
  } else if (language == "image") {
    job.argv = {"python3", "-I", "/skerry/shim/image/flatten.py"};
    job.words = FailureWords::kLastLine;
  }
  job.comment = subfolder;
  CO_TRY_ASSIGN(const StageResult result, co_await run_stage_job(loop_, jobs_, blobs_, settings_.limits, std::move(job), run.log));
  CO_TRY_ASSIGN(UniqueFd archive, blobs_.open_blob(result.digest));
  auto listing = co_await off_loop<ArchiveListing>(
      loop_, [archive = std::move(archive)] { return list_archive(archive.get(), [](std::string_view path) { return path == kRevisionFilePath; }, kResultBounds); });
  if (!listing) co_return blame(stage, std::move(listing).error());
  Result<RevisionFile> made = language == "python" ? Result<RevisionFile>(RevisionFile::of_python_result(*listing)) : RevisionFile::of_result(*listing);
  if (!made) co_return blame(stage, std::move(made).error());
  run.made = std::move(*made);
  run.log.stage(stage, StageState::kDone, ms_since(loop_, begin));

  const TimePoint layering = loop_.now();
  run.log.stage("layer", StageState::kBegin, 0);
  auto unpacked = co_await layers_.unpack(result.digest, result.archive.get(), subfolder, kResultBounds.bytes, kResultBounds.files);
  if (!unpacked) co_return blame("layer", std::move(unpacked).error());
  run.app = result.digest;
  if (auto kept = index_.remember(build_key, {result.digest, run.made->text()}); !kept) logger_.warn("the build cache cannot be written", {{"error", kept.error().message()}});
  run.log.stage("layer", StageState::kDone, ms_since(loop_, layering));
  co_return Result<void>{};
}

// ---- what runs

// The flag in the command where that is `node` itself, else in its environment. An author's own NODE_OPTIONS takes its place.
void trust_system(BuildResult& result) {
  if (result.argv.front() == "node") result.argv.emplace(result.argv.begin() + 1, kNodeTrust);
  else result.env.push_back(fmt::format("NODE_OPTIONS={}", kNodeTrust));
  result.env.emplace_back(kTrustFolder);
}

// Whether the program is our shim and nothing of the author's: flags of his for Node.js could name files of the code, which a spare has not.
bool waits_for_a_function(const BuildResult& result) {
  if (result.language == "python" || result.language == "java") return true;
  if (result.language != "node") return false;
  const auto known = [](const std::string& word) { return word == "node" || word == "/skerry/shim/node/main.js" || word == kNodeTrust || word.starts_with("--max-old-space-size="); };
  return std::all_of(result.argv.begin(), result.argv.end(), known) && std::none_of(result.env.begin(), result.env.end(), [](const std::string& entry) { return entry.starts_with("NODE_OPTIONS="); });
}

Task<Result<void>> Pipeline::trust_image(Run& run) {
  if (settings_.local_ca_pem.empty() || run.recipe.language != "image") co_return Result<void>{};
  auto archive = blobs_.open_blob(run.app);
  auto layer = co_await platform_.trust_in(run.app, archive ? std::move(*archive) : UniqueFd());
  if (!layer && layer.error().code() == ErrorCode::kNotFound) {
    run.log.warning("the image was built before this gateway had its authority, and its archive is gone: it does not trust other functions' certificates");
    co_return Result<void>{};
  }
  if (!layer) co_return pass(std::move(layer).error(), "trust");
  if (*layer) run.trust = **layer;
  co_return Result<void>{};
}

Task<Result<BuildResult>> Pipeline::assemble(Run& run) {
  const std::string& language = run.recipe.language;
  CO_TRY(co_await trust_image(run));
  BuildResult result;
  result.language = language;
  if (run.request.image) result.image = run.request.image->name();
  result.version = run.recipe.version;
  if (!run.image.empty()) result.layers = {run.image};
  if (!run.trust.empty() && language != "image") result.layers.push_back(run.trust);
  const bool served_by_shim = !run.own_server() && (!run.made || run.made->shape != "server");
  if (served_by_shim && language == "java") {
    CO_TRY_ASSIGN(const Digest runtime, co_await java_runtime(run));
    result.layers.push_back(runtime);
  } else if (served_by_shim && language != "go") {
    result.layers.push_back(run.shim);  // Go's is compiled in
  }
  std::string path = "/usr/local/bin:/usr/bin:/bin";
  if (run.dependencies && runs_with_dependencies(language) && !(run.made && run.made->has_modules)) {
    Digest dependencies = *run.dependencies;
    if (language == "node") {
      CO_TRY_ASSIGN(dependencies, co_await prune_dependencies(run));
    }
    result.layers.push_back(dependencies);
    path = (language == "python" ? dependency_folder(run.recipe) + "/bin:" : "/app/node_modules/.bin:") + path;
  }
  result.layers.push_back(run.app);
  if (!run.trust.empty() && language == "image") result.layers.push_back(run.trust);
  result.size_bytes = run.made ? run.made->size_bytes : run.upload_bytes;
  if (language == "python") {
    result.argv = {"python3", "-B", "/skerry/shim/python/main.py"};
    result.env = {"PYTHONUNBUFFERED=1"};
    // Python's own TLS looks into the image's folder; this library brings a bundle of its own and reads the variable with its first request.
    if (!run.trust.empty()) result.env.emplace_back("REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt");
    const std::string entry = run.made ? run.made->entry : python_entry(run.listing);
    if (served_by_shim && entry.empty()) co_return project_failed("build", "no entry: the build left none of function/func.py, func.py, main.py, app.py");
    if (served_by_shim) result.env.push_back("SKERRY_ENTRY=" + entry);
  } else {
    result.argv = run.made->argv;
    result.env = run.made->env;
    result.health_path = run.made->health_path;
    if (served_by_shim) result.env.insert(result.env.end(), {"SKERRY_ENTRY=" + run.made->entry, "SKERRY_SHAPE=" + run.made->shape});
  }
  if (served_by_shim) result.env.emplace_back("SKERRY_SHIM=1");
  const bool has_path = std::any_of(result.env.begin(), result.env.end(), [](const std::string& entry) { return entry.starts_with("PATH="); });
  if (!has_path) result.env.push_back("PATH=" + path);
  result.transport = served_by_shim ? Transport::kUnix : Transport::kTcp;
  if (run.own_server()) result.argv = run.request.entrypoint;
  if (result.argv.empty()) co_return project_failed("build", "nothing to start came out of it");
  if (language == "node" && !run.trust.empty()) trust_system(result);
  if (served_by_shim && waits_for_a_function(result)) result.runtime_layers = run.trust.empty() ? 2 : 3;  // the image, what it trusts, and the shim
  if (run.request.health_path) {
    result.health_path = *run.request.health_path;
  } else if (!served_by_shim && result.health_path.empty() && language != "image") {
    // An image cannot be tried: its root has no place for the script's shell.
    CO_TRY_ASSIGN(result.health_path, co_await find_health_path(run, result));
  }
  co_return result;
}

Task<Result<std::string>> Pipeline::find_health_path(Run& run, const BuildResult& result) {
  if (run.toolchain.empty()) {
    CO_TRY_ASSIGN(run.toolchain, co_await platform_.image(run.recipe.build_image));
    CO_TRY_ASSIGN(run.machine, co_await platform_.machine());
  }
  StageJob job;
  job.stage = "layer";
  // The build image holds all of the run image, and the shell that the script needs.
  job.layers = {run.toolchain, run.machine};
  job.layers.insert(job.layers.end(), result.layers.begin() + 1, result.layers.end());
  job.argv = {"bash", "/skerry/build/probe.sh"};
  job.argv.insert(job.argv.end(), result.argv.begin(), result.argv.end());
  job.env = result.env;
  job.env.insert(job.env.end(), {fmt::format("PORT={}", result.port), "HOME=/home/fn", "USER=fn", "TMPDIR=/tmp", "LANG=C.UTF-8", "TZ=UTC"});
  job.cwd = "/app";
  KeyMaker maker = key(run, "health");
  for (const Digest& layer : job.layers) maker.add(layer.str());
  for (const std::string& text : job.argv) maker.add(text);
  for (const std::string& text : job.env) maker.add(text);
  const std::string probe_key = maker.key();
  // Not a layer, but found again like one, beside the layer that it is a property of.
  CO_TRY_ASSIGN(const auto known, co_await remembered(probe_key));
  if (known) co_return known->note;
  BuilderLimits limits = settings_.limits;
  limits.time = std::min<Duration>(limits.time, kProbeTime);
  auto probed = co_await run_stage_job(loop_, jobs_, blobs_, limits, std::move(job), run.log);
  if (!probed && probed.error().code() == ErrorCode::kFunctionFailed) {
    run.log.warning("the server could not be tried in the build, so that no health path was looked for; [health] path names one");
    co_return std::string();
  }
  if (!probed) co_return pass(std::move(probed).error());
  blobs_.remove(probed->digest);
  auto listing = list_archive(probed->archive.get(), [](std::string_view path) { return path == "health"; }, {kMaxManifestBytes, 16});
  std::string path = listing && listing->contents.contains("health") ? listing->contents["health"] : "";
  // The server ran beside the script and could have written anything.
  if (path != "/health/readiness" && path != "/health") path.clear();
  (void)index_.remember(probe_key, {run.app, path});
  co_return path;
}

}  // namespace skerry
