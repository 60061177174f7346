#include "build/pipeline.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "base/id.h"
#include "crypto/encoding.h"
#include "build/archive.h"
#include "crypto/hash.h"
#include "loop/scope.h"
#include "net/certificates.h"
#include "os/file.h"

namespace skerry {
namespace {

using namespace std::chrono_literals;

// Answers each job by what the test says: log lines, a result, an end.
class FakeJobs final : public JobRunner {
 public:
  struct Answer {
    std::string log;
    std::string out;
    JobEnd end{0, 0, false};
    std::optional<Error> error;
  };
  std::function<Answer(const Job&)> answer;
  std::vector<Job> seen;
  std::vector<std::string> inputs;
  std::optional<Duration> takes;
  size_t running = 0, most_running = 0;

  explicit FakeJobs(Loop& loop) : loop_(loop) {}
  Task<Result<JobEnd>> run(Job job, TimePoint deadline) override {
    most_running = std::max(most_running, ++running);
    EXPECT_GT(deadline, loop_.now());
    inputs.push_back(*read_all(job.in, 1 << 20));
    Answer given = answer(job);
    if (takes) co_await loop_.sleep_until(loop_.now() + *takes);
    (void)write_all(job.err, given.log);
    // A real job writes while its output is drained; small results fit into the pipe.
    const bool wrote = write_all(job.out, given.out).has_value();
    seen.push_back(std::move(job));
    --running;
    if (given.error) co_return std::unexpected(*given.error);
    if (!wrote) co_return JobEnd{-1, SIGPIPE, false};
    co_return given.end;
  }

 private:
  Loop& loop_;
};

class FakeLayers final : public LayerStore {
 public:
  std::map<Digest, std::string> there;  // and where below
  std::map<Digest, std::pair<uint64_t, uint32_t>> bounds;  // bytes and files that each was allowed
  std::optional<Error> refuse;          // the next unpack

  Task<Result<LayerSize>> unpack(Digest digest, int archive, std::string subfolder, uint64_t max_bytes, uint32_t max_files) override {
    if (refuse) {
      Error error = *refuse;
      refuse.reset();
      co_return std::unexpected(std::move(error));
    }
    if (const auto found = there.find(digest); found != there.end()) {
      if (found->second != subfolder) co_return fail(ErrorCode::kConflict, "the layer exists below `{}`", found->second);
      co_return LayerSize{1, 1};
    }
    bounds[digest] = {max_bytes, max_files};
    const std::string bytes = *read_all(archive, 64 << 20);
    EXPECT_EQ(Digest::of_bytes(sha256(bytes)), digest);
    there[digest] = subfolder;
    co_return LayerSize{bytes.size(), 1};
  }
  Task<Result<bool>> has(Digest digest) override { co_return there.contains(digest); }
};

class Watcher final : public BuildProgress {
 public:
  std::vector<std::string> stages;
  std::string log_text;
  void stage(std::string_view name, StageState state, int64_t) override {
    const char* names[] = {"begin", "done", "cached"};
    if (state != StageState::kBegin) stages.push_back(fmt::format("{} {}", name, names[static_cast<int>(state)]));
  }
  void log(std::string_view stage_name, std::string_view line) override { log_text += fmt::format("{}: {}\n", stage_name, line); }
  void warning(std::string_view) override {}
};

std::string tar_of(const std::map<std::string, std::string>& files) {
  TarText tar;
  for (const auto& [path, text] : files) EXPECT_TRUE(tar.add(path, text));
  return tar.finish();
}

class PipelineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/skerry_pipeline_XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
    for (const char* name : {"builds", "cache", "blobs", "sources/python"}) std::filesystem::create_directories(folder_ + "/" + name);
    for (const char* language : {"python", "node", "go", "java", "build"}) {
      std::filesystem::create_directories(folder_ + "/shims/" + language);
      std::ofstream(folder_ + "/shims/" + language + "/main") << language;
    }
    for (const char* name : {"python", "python-build", "node", "node-build", "go", "go-build", "java", "java-build"}) make_image(name, std::string("image ") + name);
    std::ofstream(folder_ + "/ca.pem") << "authority";
    settings_.images_dir = folder_ + "/images";
    settings_.shims_dir = folder_ + "/shims";
    settings_.java_library = folder_ + "/skerry-java.so";
    std::ofstream(settings_.java_library) << "library";
    settings_.builds_dir = folder_ + "/builds";
    settings_.cache_dir = folder_ + "/cache";
    settings_.ca_bundle = folder_ + "/ca.pem";
    settings_.client_files = {};
    blobs_.emplace(*BlobStore::open(folder_ + "/blobs"));
    jobs_.answer = [](const Job&) { return FakeJobs::Answer{"", tar_of({{"x", "installed"}}), {0, 0, false}, std::nullopt}; };
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void make_image(const std::string& name, const std::string& text) {
    const std::string folder = folder_ + "/images/" + name, tar = tar_of({{"etc/name", text}, {"etc/ssl/certs/ca-certificates.crt", "theirs\n"}});
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/abc.tar") << tar;
    std::ofstream(folder + "/current") << R"({"format":1,"recipe":"abc","sha256":")" << hex(sha256(tar)) << "\"}";
  }
  Digest image(const std::string& name) { return Digest::of_bytes(sha256(*read_file(folder_ + "/images/" + name + "/abc.tar", 1 << 20))); }

  Digest upload(const std::map<std::string, std::string>& files) {
    auto writer = *blobs_->create(1 << 20);
    EXPECT_TRUE(writer.write(tar_of(files)));
    return *writer.commit();
  }
  Pipeline& pipeline() {
    if (!pipeline_) pipeline_.emplace(*loop_, logger_, *blobs_, jobs_, layers_, settings_);
    return *pipeline_;
  }
  static Task<void> run(Pipeline& pipeline, BuildRequest request, BuildProgress& progress, std::optional<Result<BuildResult>>& out) {
    out.emplace(co_await pipeline.build(std::move(request), progress));
  }
  BuildRequest request(const std::map<std::string, std::string>& files) {
    BuildRequest r;
    r.function = FunctionId("f1");
    r.build_id = new_ulid();
    r.upload = upload(files);
    return r;
  }
  Result<BuildResult> build(BuildRequest r) {
    watcher_ = {};
    std::optional<Result<BuildResult>> out;
    Scope scope(*loop_);
    scope.spawn(run(pipeline(), std::move(r), watcher_, out));
    EXPECT_TRUE(loop_->run_until([&] { return out.has_value(); }, 20s));
    return out ? *out : fail(ErrorCode::kInternal, "the build did not end");
  }
  static Task<void> run_resolve(Pipeline& pipeline, BuildRequest request, BuildProgress& progress, std::optional<Result<ResolvedImage>>& out) {
    out.emplace(co_await pipeline.resolve(std::move(request), progress));
  }
  Result<ResolvedImage> resolve(BuildRequest r) {
    std::optional<Result<ResolvedImage>> out;
    Scope scope(*loop_);
    scope.spawn(run_resolve(pipeline(), std::move(r), watcher_, out));
    EXPECT_TRUE(loop_->run_until([&] { return out.has_value(); }, 20s));
    return out ? *out : fail(ErrorCode::kInternal, "the resolving did not end");
  }
  BuildRequest image_request(const std::string& reference) {
    std::filesystem::create_directories(folder_ + "/shims/image");
    BuildRequest r;
    r.function = FunctionId("f1");
    r.build_id = new_ulid();
    r.image = ImageReference::parse(reference).value();
    return r;
  }
  Result<BuildResult> build(const std::map<std::string, std::string>& files) { return build(request(files)); }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_ = *Loop::create(clock_);
  Logger logger_{-1, "test", "local"};
  std::string folder_;
  std::optional<BlobStore> blobs_;
  FakeJobs jobs_{*loop_};
  FakeLayers layers_;
  PipelineSettings settings_;
  std::optional<Pipeline> pipeline_;
  Watcher watcher_;
};

const std::map<std::string, std::string> kPython = {{"main.py", "app = 1\n"}, {"requirements.txt", "six\n"}};
const std::map<std::string, std::string> kNode = {{"index.js", ""}, {"package.json", R"({"dependencies":{"a":"1"},"devDependencies":{"b":"1"}})"}};
constexpr const char* kRecorded = R"({"entry":"index.js","shape":"fetch","argv":["node","main.js"],"env":["NODE_ENV=production"]})";

TEST_F(PipelineTest, WithAnAuthorityOfItsOwnABaseImageIsFollowedByWhatItTrusts) {
  settings_.local_ca_pem = make_certificate_authority("test CA")->certificate_pem;
  const auto first = build({{"func.py", ""}});
  ASSERT_TRUE(first) << first.error().message();
  ASSERT_EQ(first->layers.size(), 4U);
  EXPECT_EQ(first->layers[0], image("python"));
  EXPECT_EQ(layers_.there[first->layers[1]], "/");
  EXPECT_EQ(layers_.there[first->layers[2]], "/skerry/shim/python");
  EXPECT_EQ(first->runtime_layers, 3U);  // a spare has it, too
  const auto again = build({{"func.py", "x"}});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->layers[1], first->layers[1]);
}

TEST_F(PipelineTest, NodeIsToldToTrustItsSystemWithoutABundleInItsEnvironment) {
  settings_.local_ca_pem = make_certificate_authority("test CA")->certificate_pem;
  jobs_.answer = [](const Job& job) {
    const bool builds = job.argv.size() > 1 && job.argv[1] == "-c";
    return FakeJobs::Answer{"", builds ? tar_of({{"index.js", ""}, {".skerry/revision.json", kRecorded}}) : tar_of({{"node_modules/a", ""}}), {0, 0, false}, std::nullopt};
  };
  const auto result = build(kNode);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->argv, (std::vector<std::string>{"node", "--use-openssl-ca", "main.js"}));
  EXPECT_NE(std::find(result->env.begin(), result->env.end(), "SSL_CERT_DIR=/etc/ssl/certs"), result->env.end());
  for (const std::string& entry : result->env) EXPECT_FALSE(entry.starts_with("NODE_EXTRA_CA_CERTS=") || entry.starts_with("SSL_CERT_FILE=")) << entry;
}

TEST_F(PipelineTest, PythonWithoutDependenciesRunsNoJob) {
  const auto result = build({{"func.py", ""}});
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(jobs_.seen.empty());
  EXPECT_EQ(watcher_.stages, (std::vector<std::string>{"unpack done", "detect done", "image done"}));
  ASSERT_EQ(result->layers.size(), 3U);
  EXPECT_EQ(result->layers[0], image("python"));
  EXPECT_EQ(layers_.there[result->layers[1]], "/skerry/shim/python");
  EXPECT_EQ(layers_.there[result->layers[2]], "/app");
  EXPECT_EQ(result->transport, Transport::kUnix);
  EXPECT_EQ(result->language, "python");
  EXPECT_NE(std::find(result->env.begin(), result->env.end(), "SKERRY_ENTRY=func.py"), result->env.end());
}

// That each bound holds at the bound and not past it: unpack_test.cc (the unpacker), archive_test.cc (what is looked at here).
TEST_F(PipelineTest, WhatAnUploadAndAResultMayBecomeIsTheContracts) {
  const auto result = build(kPython);
  ASSERT_TRUE(result) << result.error().message();
  const std::pair<uint64_t, uint32_t> uploaded{250ULL << 20, 50'000}, built{2ULL << 30, 300'000};
  EXPECT_EQ(layers_.bounds.at(result->layers[3]), uploaded);
  EXPECT_EQ(layers_.bounds.at(result->layers[2]), built);  // its dependencies
}

TEST_F(PipelineTest, AResultOverTheBoundsIsTheProjectsFaultByTheirName) {
  jobs_.answer = [this](const Job&) {
    layers_.refuse = Error(ErrorCode::kTooLarge, "more than 300000 files");
    return FakeJobs::Answer{"", tar_of({{"x", "installed"}}), {0, 0, false}, std::nullopt};
  };
  const auto result = build(kPython);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::kFunctionFailed);
  EXPECT_NE(result.error().message().find("more than 300000 files"), std::string::npos);
}

TEST_F(PipelineTest, DependenciesAreALayerAndAreFoundAgain) {
  const auto first = build(kPython);
  ASSERT_TRUE(first) << first.error().message();
  ASSERT_EQ(jobs_.seen.size(), 1U);
  EXPECT_EQ(watcher_.stages.back(), "deps done");
  EXPECT_EQ(std::count(watcher_.stages.begin(), watcher_.stages.end(), "image done"), 1);  // both images, one stage
  ASSERT_EQ(first->layers.size(), 4U);
  EXPECT_EQ(layers_.there[first->layers[2]], "/usr/local/lib/python3.11/dist-packages");
  EXPECT_EQ(jobs_.seen[0].layers[0], image("python-build"));
  EXPECT_NE(jobs_.inputs[0].find("six"), std::string::npos);
  // The code is not in the container: nothing of it could change what is installed.
  for (const Digest& layer : jobs_.seen[0].layers) EXPECT_NE(layers_.there[layer], "/app");

  auto changed = kPython;
  changed["main.py"] = "app = 2\n";
  const auto second = build(changed);
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(jobs_.seen.size(), 1U);
  EXPECT_EQ(watcher_.stages.back(), "deps cached");
  EXPECT_EQ(std::count(watcher_.stages.begin(), watcher_.stages.end(), "image done"), 0);  // the first build unpacked it
  EXPECT_EQ(second->layers[2], first->layers[2]);
  EXPECT_NE(second->layers[3], first->layers[3]);
}

TEST_F(PipelineTest, WhatDependenciesDependOnIsInTheirKey) {
  ASSERT_TRUE(build(kPython));
  auto other = kPython;
  other["requirements.txt"] = "six<2\n";
  ASSERT_TRUE(build(other));
  EXPECT_EQ(jobs_.seen.size(), 2U);
  make_image("python-build", "a new toolchain");
  ASSERT_TRUE(build(kPython));
  EXPECT_EQ(jobs_.seen.size(), 3U);
  std::ofstream(folder_ + "/shims/python/main") << "a new script";
  ASSERT_TRUE(build(kPython));
  EXPECT_EQ(jobs_.seen.size(), 4U);
  ASSERT_TRUE(build(kPython));
  EXPECT_EQ(jobs_.seen.size(), 4U);
}

TEST_F(PipelineTest, ALayerThatIsGoneIsMadeAgain) {
  const auto first = build(kPython);
  ASSERT_TRUE(first);
  layers_.there.clear();
  const auto second = build(kPython);
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(jobs_.seen.size(), 2U);
  for (const Digest& layer : second->layers) EXPECT_TRUE(layers_.there.contains(layer));
}

TEST_F(PipelineTest, TheSameUploadMayBeBuiltAsTwoLanguages) {
  std::map<std::string, std::string> both = kNode;
  both["main.py"] = "";
  BuildRequest as_python = request(both);
  as_python.language = "python";
  ASSERT_TRUE(build(as_python));
  jobs_.answer = [](const Job& job) {
    const bool builds = job.argv.size() > 1 && job.argv[1] == "-c";
    return FakeJobs::Answer{"", builds ? tar_of({{"index.js", ""}, {".skerry/revision.json", kRecorded}}) : tar_of({{"node_modules/a", ""}}), {0, 0, false}, std::nullopt};
  };
  BuildRequest as_node = request(both);
  as_node.language = "node";
  const auto result = build(as_node);
  ASSERT_TRUE(result) << result.error().message();
}

TEST_F(PipelineTest, NodeGetsItsModulesPrunedAndItsCodeApart) {
  jobs_.answer = [](const Job& job) {
    if (job.argv.size() > 1 && job.argv[1] == "-c") return FakeJobs::Answer{"", tar_of({{"index.js", ""}, {".skerry/revision.json", kRecorded}}), {0, 0, false}, std::nullopt};
    return FakeJobs::Answer{"", tar_of({{"node_modules/" + job.argv[1].substr(19), ""}}), {0, 0, false}, std::nullopt};
  };
  const auto result = build(kNode);
  ASSERT_TRUE(result) << result.error().message();
  ASSERT_EQ(jobs_.seen.size(), 3U);  // deps, build, prune
  EXPECT_EQ(jobs_.seen[0].argv[1], "/skerry/shim/node/deps.sh");
  EXPECT_EQ(jobs_.seen[2].argv[1], "/skerry/shim/node/prune.sh");
  ASSERT_EQ(result->layers.size(), 4U);
  // The build saw all of the modules; the function gets the pruned ones.
  EXPECT_EQ(std::count(jobs_.seen[1].layers.begin(), jobs_.seen[1].layers.end(), result->layers[2]), 0);
  EXPECT_EQ(result->argv, (std::vector<std::string>{"node", "main.js"}));
  const auto again = build(kNode);
  ASSERT_TRUE(again);
  EXPECT_EQ(jobs_.seen.size(), 3U);
  EXPECT_EQ(again->layers, result->layers);
  EXPECT_EQ(again->argv, result->argv);
  EXPECT_EQ(again->env, result->env);
  EXPECT_EQ(again->size_bytes, result->size_bytes);
}

// What the archive of classes is good for is the java of the run image, and nothing of a function is in it.
TEST_F(PipelineTest, JavasRuntimeIsMadeOnceOverTheRunImageAndServesAll) {
  jobs_.answer = [](const Job& job) {
    if (job.argv[0] == "sh" && job.argv.size() == 4 && job.argv[3] == "/skerry-java") return FakeJobs::Answer{"", tar_of({{"shim.jar", "made"}}), {0, 0, false}, std::nullopt};
    const char* recorded = R"({"entry":"functions.Function","shape":"handler","argv":["sh","-c","java"],"env":[]})";
    return FakeJobs::Answer{"", tar_of({{"classes/x", ""}, {".skerry/revision.json", recorded}}), {0, 0, false}, std::nullopt};
  };
  const auto result = build({{"pom.xml", "<project/>"}});
  ASSERT_TRUE(result) << result.error().message();
  ASSERT_EQ(result->layers.size(), 3U);
  EXPECT_EQ(result->layers[0], image("java"));
  EXPECT_EQ(layers_.there[result->layers[1]], "/skerry-java");
  EXPECT_EQ(result->runtime_layers, 2);
  const Job& made = jobs_.seen.back();
  ASSERT_EQ(made.layers.size(), 3U);
  EXPECT_EQ(made.layers[0], image("java-build"));
  EXPECT_EQ(made.layers[1], image("java"));
  const size_t jobs = jobs_.seen.size();
  const auto other = build({{"pom.xml", "<project></project>"}});
  ASSERT_TRUE(other) << other.error().message();
  EXPECT_EQ(other->layers[1], result->layers[1]);
  EXPECT_EQ(jobs_.seen.size(), jobs + 2);  // its dependencies and itself
}

TEST_F(PipelineTest, JavaWithoutItsLibraryIsRefusedByTheLibrarysName) {
  std::filesystem::remove(settings_.java_library);
  const auto result = build({{"pom.xml", "<project/>"}});
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("skerry-java.so"), std::string::npos) << result.error().message();
}

TEST_F(PipelineTest, AnEntrypointMakesItsOwnServer) {
  BuildRequest r = request({{"x.py", ""}});
  r.language = "python";
  r.entrypoint = {"python3", "x.py"};
  r.health_path = "/up";
  const auto result = build(r);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->transport, Transport::kTcp);
  EXPECT_EQ(result->argv, r.entrypoint);
  EXPECT_EQ(result->health_path, "/up");
  EXPECT_EQ(result->layers.size(), 2U);  // no shim
  for (const std::string& entry : result->env) EXPECT_FALSE(entry.starts_with("SKERRY_")) << entry;
}

TEST_F(PipelineTest, AnImageIsItsOwnRoot) {
  jobs_.answer = [](const Job&) {
    return FakeJobs::Answer{"", tar_of({{"server", "x"}, {".skerry/revision.json", R"({"shape":"server","entry":"","argv":["/server"],"env":["PATH=/x"]})"}}), {0, 0, false}, std::nullopt};
  };
  std::filesystem::create_directories(folder_ + "/shims/image");
  const auto result = build({{"oci-layout", ""}, {"index.json", "{}"}});
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->language, "image");
  ASSERT_EQ(result->layers.size(), 1U);
  EXPECT_EQ(layers_.there[result->layers[0]], "/");
  EXPECT_EQ(result->transport, Transport::kTcp);
  EXPECT_EQ(result->argv, (std::vector<std::string>{"/server"}));
  EXPECT_EQ(result->env, (std::vector<std::string>{"PATH=/x"}));
  EXPECT_EQ(jobs_.seen.size(), 1U);
}

TEST_F(PipelineTest, AnImageWithABundleOfAuthoritiesGetsOursAboveIt) {
  settings_.local_ca_pem = make_certificate_authority("test CA")->certificate_pem;
  std::filesystem::create_directories(folder_ + "/shims/image");
  for (const bool has_bundle : {true, false}) {
    jobs_.answer = [&](const Job&) {
      std::map<std::string, std::string> files = {{"server", "x"}, {".skerry/revision.json", R"({"shape":"server","entry":"","argv":["/server"],"env":[]})"}};
      if (has_bundle) files["etc/ssl/certs/ca-certificates.crt"] = "theirs\n", files["etc/ssl/certs/java/cacerts"] = "of another form";
      return FakeJobs::Answer{"", tar_of(files), {0, 0, false}, std::nullopt};
    };
    const auto result = build({{"oci-layout", ""}, {"index.json", has_bundle ? "{}" : "{ }"}});
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_EQ(result->layers.size(), has_bundle ? 2U : 1U);
    EXPECT_EQ(result->argv, (std::vector<std::string>{"/server"}));
  }
}

TEST_F(PipelineTest, AnImageInARegistryIsResolvedAndPulledOnce) {
  const std::string digest = "sha256:" + std::string(64, 'd');
  jobs_.answer = [&](const Job& job) {
    if (job.argv.back() == "resolve") return FakeJobs::Answer{"", tar_of({{"digest", digest}}), {0, 0, false}, std::nullopt};
    return FakeJobs::Answer{"", tar_of({{"server", "x"}, {".skerry/revision.json", R"({"shape":"server","entry":"","argv":["/server"],"env":[]})"}}), {0, 0, false}, std::nullopt};
  };
  settings_.registries.auth_file = folder_ + "/auth.json";
  std::ofstream(settings_.registries.auth_file) << R"({"auths":{"r.example":{"auth":"secret"}}})";
  BuildRequest r = image_request("r.example/shop/orders:1");
  const auto resolved = resolve(r);
  ASSERT_TRUE(resolved) << resolved.error().message();
  EXPECT_EQ(resolved->digest.str(), digest);
  EXPECT_FALSE(resolved->is_built);
  r.image->digest = resolved->digest;
  const auto result = build(r);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->image, "r.example/shop/orders:1");
  EXPECT_EQ(result->argv, (std::vector<std::string>{"/server"}));
  EXPECT_EQ(watcher_.stages, (std::vector<std::string>{"pull done", "layer done"}));
  EXPECT_TRUE(resolve(r)->is_built);
  // SECURITY: credentials go to standard input alone, never into a layer or an environment that other builds see.
  ASSERT_EQ(jobs_.seen.size(), 2U);
  for (const std::string& input : jobs_.inputs) EXPECT_NE(input.find("secret"), std::string::npos);
  for (const Job& job : jobs_.seen)
    for (const std::string& entry : job.env) EXPECT_EQ(entry.find("secret"), std::string::npos);
  // The same digest from elsewhere is another image: who may not read the first gets nothing of it.
  BuildRequest other = image_request("r.example/shop/other:1");
  EXPECT_FALSE(resolve(other)->is_built);
}

TEST_F(PipelineTest, ARegistrysFailureIsTheLastLineOfWhatAskedIt) {
  jobs_.answer = [](const Job&) { return FakeJobs::Answer{"layer 1 of 2\nthe registry r.example does not answer\n", "", {1, 0, false}, std::nullopt}; };
  const auto resolved = resolve(image_request("r.example/shop/orders:1"));
  ASSERT_FALSE(resolved);
  EXPECT_EQ(resolved.error().code(), ErrorCode::kFunctionFailed);
  EXPECT_EQ(resolved.error().message(), "resolve: the registry r.example does not answer");
  // An answer that is no digest.
  jobs_.answer = [](const Job&) { return FakeJobs::Answer{"", tar_of({{"digest", "sha256:../../etc"}}), {0, 0, false}, std::nullopt}; };
  EXPECT_FALSE(resolve(image_request("r.example/shop/orders:1")));
}

TEST_F(PipelineTest, AnOwnServersHealthPathIsLookedForOnce) {
  BuildRequest r = request({{"x.py", ""}});
  r.language = "python";
  r.entrypoint = {"python3", "x.py"};
  jobs_.answer = [](const Job&) { return FakeJobs::Answer{"", tar_of({{"health", "/health"}}), {0, 0, false}, std::nullopt}; };
  const auto first = build(r);
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->health_path, "/health");
  ASSERT_EQ(jobs_.seen.size(), 1U);
  EXPECT_EQ(jobs_.seen[0].argv, (std::vector<std::string>{"bash", "/skerry/build/probe.sh", "python3", "x.py"}));
  const auto again = build(r);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->health_path, "/health");
  EXPECT_EQ(jobs_.seen.size(), 1U);
  // Neither a failure nor a lie of what ran there becomes a path or an error.
  r.entrypoint = {"python3", "y.py"};
  jobs_.answer = [](const Job&) { return FakeJobs::Answer{"", tar_of({{"health", "/admin"}}), {0, 0, false}, std::nullopt}; };
  EXPECT_EQ(build(r)->health_path, "");
  r.entrypoint = {"python3", "z.py"};
  jobs_.answer = [](const Job&) { return FakeJobs::Answer{"", "", {1, 0, false}, std::nullopt}; };
  EXPECT_EQ(build(r)->health_path, "");
}

TEST_F(PipelineTest, AFailedToolIsTheProjectsFaultAndItsLogIsKept) {
  jobs_.answer = [](const Job&) { return FakeJobs::Answer{"one\n\x1b[31mtwo\x1b[0m\rthree\nlast", "", {3, 0, false}, std::nullopt}; };
  BuildRequest r = request(kPython);
  const std::string id = r.build_id;
  const auto result = build(r);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::kFunctionFailed);
  EXPECT_TRUE(result.error().message().starts_with("deps: ")) << result.error().message();
  EXPECT_NE(result.error().message().find("status 3"), std::string::npos);
  EXPECT_EQ(watcher_.log_text, "deps: one\ndeps: three\ndeps: last\n");
  EXPECT_NE(read_file(folder_ + "/builds/" + id + ".log", 10'000)->find("two"), std::string::npos);
  // Nothing of it is remembered or left behind.
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/cache"));
  ASSERT_FALSE(build(kPython));
  EXPECT_EQ(jobs_.seen.size(), 2U);
}

TEST_F(PipelineTest, EachWayAJobMayEndHasItsWords) {
  const auto ends = [&](FakeJobs::Answer answer) {
    jobs_.answer = [answer](const Job&) { return answer; };
    const auto result = build(kPython);
    EXPECT_FALSE(result);
    return result ? Error(ErrorCode::kInternal, "") : result.error();
  };
  const Error memory = ends({"", "", {-1, 9, true}, std::nullopt});
  EXPECT_EQ(memory.code(), ErrorCode::kFunctionFailed);
  EXPECT_NE(memory.message().find("memory"), std::string::npos);
  const Error signal = ends({"", "", {-1, 11, false}, std::nullopt});
  EXPECT_NE(signal.message().find("signal 11"), std::string::npos);
  const Error time = ends({"", "", {}, Error(ErrorCode::kTimeout, "late")});
  EXPECT_EQ(time.code(), ErrorCode::kFunctionFailed);
  EXPECT_NE(time.message().find("600 s"), std::string::npos);
  const Error away = ends({"", "", {}, Error(ErrorCode::kUnavailable, "sandboxd restarted")});
  EXPECT_EQ(away.code(), ErrorCode::kUnavailable);
}

TEST_F(PipelineTest, AnUploadThatTheUnpackerRefusesIsTheProjectsFault) {
  layers_.refuse = Error(ErrorCode::kForbidden, "`../x` leads out");
  const auto result = build(kPython);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::kFunctionFailed);
  EXPECT_EQ(result.error().message(), "unpack: `../x` leads out");
  layers_.refuse = Error(ErrorCode::kNoCapacity, "the disk is full");
  const auto full = build({{"func.py", "other"}});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), ErrorCode::kNoCapacity);
}

TEST_F(PipelineTest, AResultThatSaysNothingUsableFailsTheBuild) {
  for (const char* recorded : {R"({"argv":[]})", R"({"argv":"x"})", "not json"}) {
    jobs_.answer = [&](const Job&) { return FakeJobs::Answer{"", tar_of({{".skerry/revision.json", recorded}}), {0, 0, false}, std::nullopt}; };
    const auto result = build({{"go.mod", "module x"}, {"note", recorded}});
    ASSERT_FALSE(result) << recorded;
    EXPECT_EQ(result.error().code(), ErrorCode::kFunctionFailed) << result.error().message();
  }
  jobs_.answer = [](const Job&) { return FakeJobs::Answer{"", "garbage that is no tar", {0, 0, false}, std::nullopt}; };
  const auto result = build({{"go.mod", "module x"}});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::kFunctionFailed) << result.error().message();
}

TEST_F(PipelineTest, AnImageThatIsNotThereIsNamedWithItsCommand) {
  std::filesystem::remove_all(folder_ + "/images/go");
  const auto result = build({{"go.mod", "module x"}});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::kUnavailable);
  EXPECT_NE(result.error().message().find("images/build --only go"), std::string::npos);
}

TEST_F(PipelineTest, LocalSourcesAreMountedInTheOrderOfTheConfiguration) {
  std::ofstream(folder_ + "/sources/python/six.whl") << "wheel";
  settings_.sources = {folder_ + "/none", folder_ + "/sources"};
  ASSERT_TRUE(build(kPython));
  bool mounted = false;
  for (const Digest& layer : jobs_.seen[0].layers) mounted = mounted || layers_.there[layer] == "/skerry/source/1/python";
  EXPECT_TRUE(mounted);
  EXPECT_NE(std::find(jobs_.seen[0].env.begin(), jobs_.seen[0].env.end(), "SKERRY_SOURCES=/skerry/source/1/python"), jobs_.seen[0].env.end());
}

TEST_F(PipelineTest, TheMachinesSettingsReachTheJobEachNameOnce) {
  settings_.environment = {"PIP_INDEX_URL=http://mirror/simple", "SSL_CERT_FILE=/elsewhere"};
  ASSERT_TRUE(build(kPython));
  std::set<std::string> names;
  for (const std::string& entry : jobs_.seen[0].env) EXPECT_TRUE(names.insert(entry.substr(0, entry.find('='))).second) << entry;
  const auto& env = jobs_.seen[0].env;
  EXPECT_NE(std::find(env.begin(), env.end(), "PIP_INDEX_URL=http://mirror/simple"), env.end());
  EXPECT_NE(std::find(env.begin(), env.end(), "SSL_CERT_FILE=/elsewhere"), env.end());
}

TEST_F(PipelineTest, OnlySoManyBuildAtATime) {
  jobs_.takes = 20ms;
  constexpr size_t kCount = Pipeline::kMaxBuilds + 3;
  std::vector<Watcher> watchers(kCount);
  std::vector<std::optional<Result<BuildResult>>> out(kCount);
  Scope scope(*loop_);
  for (size_t i = 0; i < kCount; ++i) {
    auto files = kPython;
    files["requirements.txt"] += fmt::format("package{}\n", i);
    scope.spawn(run(pipeline(), request(files), watchers[i], out[i]));
  }
  EXPECT_TRUE(loop_->run_until([&] { return std::all_of(out.begin(), out.end(), [](const auto& o) { return o.has_value(); }); }, 20s));
  for (const auto& o : out) EXPECT_TRUE(o && *o);
  EXPECT_EQ(jobs_.most_running, Pipeline::kMaxBuilds);
}

TEST_F(PipelineTest, ABuildThatIsDroppedInTheMiddleGivesItsPlaceBack) {
  jobs_.takes = 10s;
  std::vector<Watcher> watchers(Pipeline::kMaxBuilds + 1);
  std::vector<std::optional<Result<BuildResult>>> out(watchers.size());
  {
    Scope scope(*loop_);
    for (size_t i = 0; i < watchers.size(); ++i) scope.spawn(run(pipeline(), request(kPython), watchers[i], out[i]));
    EXPECT_TRUE(loop_->run_until([&] { return jobs_.running == Pipeline::kMaxBuilds; }, 10s));
  }
  jobs_.takes.reset();
  EXPECT_TRUE(build(kPython));
}

}  // namespace
}  // namespace skerry
