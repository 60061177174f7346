// The deployer with a real store, vault and watch server, a builder that does what it is told, and an edge at the end of a socket pair.
#include "gateway/deployer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <fstream>

#include "contract/secret_blob.h"
#include "crypto/encoding.h"
#include "crypto/seal.h"
#include "location/fake_edge.h"

namespace skerry {
namespace {

using namespace std::chrono_literals;
const std::string kUpload = "sha256:" + std::string(64, 'b');

class ScriptedBuilder final : public Builder {
 public:
  explicit ScriptedBuilder(Loop& loop) : proceed(loop) {}
  Task<Result<BuildResult>> build(BuildRequest request, BuildProgress& progress) override {
    requests.push_back(request);
    progress.log("deps", "collecting");
    if (hold) (void)co_await proceed.wait();
    if (error) co_return std::unexpected(*error);
    BuildResult result;
    result.layers = {request.image ? *request.image->digest : request.upload};
    if (request.image) result.image = request.image->name();
    result.argv = {"/app/serve"};
    result.env = {"PYTHONUNBUFFERED=1"};
    result.language = "python";
    result.version = "3.11";
    result.size_bytes = 1234;
    co_return result;
  }
  Task<Result<ResolvedImage>> resolve(BuildRequest request, BuildProgress&) override {
    if (error) co_return std::unexpected(*error);
    co_return ResolvedImage{request.image->digest.value_or(names), is_built};
  }
  std::vector<BuildRequest> requests;
  Digest names;  // what every tag is
  bool is_built = false;
  std::optional<Error> error;
  bool hold = false;
  Event proceed;
};

class RecordedProgress final : public ShipProgress {
 public:
  void accepted(const FunctionRow& function, const RevisionRow&) override { events.push_back("accepted " + function.name); }
  void stage(std::string_view name, StageState state, int64_t) override {
    if (state != StageState::kBegin) events.push_back(std::string(name));
  }
  void log(std::string_view, std::string_view line) override { events.push_back("log " + std::string(line)); }
  void warning(std::string_view text) override { warnings.emplace_back(text); }
  std::vector<std::string> events, warnings;
};

class DeployerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/skerry_deployer_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    folder_ = pattern;
    store_ = Store::open(folder_ + "/db", clock_).value();
    vault_ = std::make_unique<Vault>(Vault::open(folder_).value());
    watch_ = std::make_unique<WatchServer>(*loop_, logger_, static_cast<uint32_t>(::getuid()), [this] { return deployer_->snapshot(); });
    deployer_ = std::make_unique<Deployer>(*loop_, logger_, *store_, *vault_, builder_, *watch_,
                                           DeploySettings{"example.test", "here", "0123456789abcdef", 8443, folder_ + "/location.pub"});
    std::ofstream(folder_ + "/location.pub") << base64(keys_.public_key) << "\n";
  }
  void TearDown() override {
    scope_.stop();
    deployer_.reset();
    watch_.reset();
    ASSERT_EQ(std::system(("rm -rf " + folder_).c_str()), 0);
  }

  // ---- what clients do
  static ShipRequest request(const std::string& name, const std::string& config = "{}", bool with_code = true) {
    ShipRequest r;
    r.name = name;
    if (with_code) r.upload = Digest::parse(kUpload).value();
    r.spec = FunctionSpec::from_json(*json::parse(config), {}).value();
    return r;
  }
  using Shipped = std::expected<RevisionRow, ShipFailure>;
  Task<void> run_ship(ShipRequest r, std::optional<Shipped>& out) { out = co_await deployer_->ship(std::move(r), progress_); }
  void begin_ship(ShipRequest r) {
    shipped_.reset();
    scope_.spawn(run_ship(std::move(r), shipped_));
  }
  Shipped finish_ship() {
    EXPECT_TRUE(until([&] { return shipped_.has_value(); }));
    return shipped_.value_or(std::unexpected(ShipFailure{"test", 0, "", "the ship did not end"}));
  }
  // A whole ship with an edge that starts everything.
  Shipped ship(ShipRequest r) {
    begin_ship(std::move(r));
    if (!shipped_) serve_edge([&] { return shipped_.has_value(); });
    return finish_ship();
  }
  Task<void> run_redeploy(std::string name, FunctionId only, Deployer::SecretChange change) {
    rollout_ = co_await deployer_->redeploy_for_secret(std::move(name), std::move(only), change);
  }
  void begin_redeploy(const std::string& name, Deployer::SecretChange change = Deployer::SecretChange::kSet) {
    rollout_.reset();
    scope_.spawn(run_redeploy(name, {}, change));
  }
  SecretRollout redeploy(const std::string& name, Deployer::SecretChange change = Deployer::SecretChange::kSet) {
    begin_redeploy(name, change);
    serve_edge([&] { return rollout_.has_value(); });
    return rollout_ && *rollout_ ? **rollout_ : SecretRollout{};
  }
  void set_secret(const std::string& name, std::string value, const FunctionId& function = {}) {
    ASSERT_TRUE(deployer_->set_secret(name, function, SecretBytes::take_from(value)));
  }
  Task<void> run_rollback(FunctionRow function, std::string revision, std::optional<Result<void>>& out) {
    out = co_await deployer_->rollback(std::move(function), std::move(revision));
  }
  Result<void> rollback(const std::string& name, const std::string& revision) {
    std::optional<Result<void>> out;
    scope_.spawn(run_rollback(function(name), revision, out));
    serve_edge([&] { return out.has_value(); });
    return std::move(*out);
  }
  Task<void> run_remove(FunctionRow function, std::optional<Result<void>>& out) { out = co_await deployer_->remove(std::move(function)); }

  // ---- what edge does: says yes to every start and applies every change, until `done`
  void serve_edge(const std::function<bool()>& done) {
    EXPECT_TRUE(until([&] {
      if (edge_) {
        auto messages = std::exchange(edge_->messages(), {});
        for (const auto& message : messages) answer(message);
      }
      return done();
    }));
  }
  void answer(const watch::FromControl& message) {
    if (const auto* verify = std::get_if<watch::Verify>(&message)) {
      verified_.push_back(verify->revision);
      edge_->send(watch::Verified{verify->id, refuse_start_.empty(), refuse_start_.empty() ? "" : "exec", refuse_start_, 3});
    } else if (const auto* change = std::get_if<watch::FunctionChange>(&message)) {
      config_ = change->function;
      edge_->send(watch::Applied{change->version});
    } else if (const auto* removed = std::get_if<watch::FunctionRemoved>(&message)) {
      removed_.push_back(removed->id);
      edge_->send(watch::Applied{removed->version});
    } else if (const auto* snapshot = std::get_if<watch::Snapshot>(&message)) {
      snapshot_ = *snapshot;
    }
  }
  void connect_edge() { edge_ = std::make_unique<FakeEdge>(*loop_, *watch_); }

  // ---- what came of it
  FunctionRow function(const std::string& name) { return store_->find_function(name)->value(); }
  std::vector<RevisionRow> revisions(const std::string& name) { return store_->revisions(function(name).id).value(); }
  std::map<std::string, std::string> secrets_in(const RevisionConfig& config) {
    std::map<std::string, std::string> out;
    if (config.sealed_secrets.empty()) return out;
    const auto opened = open_sealed(keys_, decode_base64(config.sealed_secrets).value()).value();
    const auto views = read_secret_blob(opened.reveal());
    for (const SecretView& view : *views) out[std::string(view.name)] = std::string(view.value);
    return out;
  }
  static bool has(const std::vector<std::string>& list, const std::string& item) { return std::find(list.begin(), list.end(), item) != list.end(); }
  bool until(const std::function<bool()>& done) { return loop_->run_until(done, 5s); }

  std::string folder_;
  ManualClock clock_;
  std::unique_ptr<Loop> loop_ = *Loop::create(clock_);
  UniqueFd null_{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  Logger logger_{null_.get(), "test"};
  std::unique_ptr<Store> store_;
  std::unique_ptr<Vault> vault_;
  ScriptedBuilder builder_{*loop_};
  std::unique_ptr<WatchServer> watch_;
  std::unique_ptr<Deployer> deployer_;
  LocationKeypair keys_ = make_location_keypair();
  RecordedProgress progress_;
  Scope scope_{*loop_};
  std::optional<Shipped> shipped_;
  std::optional<Result<SecretRollout>> rollout_;
  std::unique_ptr<FakeEdge> edge_;
  std::string refuse_start_;
  std::vector<RevisionConfig> verified_;
  std::vector<FunctionId> removed_;
  FunctionConfig config_;
  watch::Snapshot snapshot_;
};

TEST_F(DeployerTest, AShipIsBuiltStartedAndRouted) {
  connect_edge();
  const auto got = ship(request("orders", R"({"env":{"LEVEL":"info"},"memory_mb":128})"));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->number, 1);
  EXPECT_EQ(got->state, RevisionState::kReady);
  EXPECT_EQ(got->language, "python");
  EXPECT_EQ(got->created_ms, clock_.wall_ms());
  EXPECT_EQ(function("orders").active, got->id);
  EXPECT_EQ(progress_.events, (std::vector<std::string>{"accepted orders", "log collecting", "start", "route"}));
  EXPECT_TRUE(progress_.warnings.empty());
  ASSERT_EQ(config_.routes.size(), 2U);
  EXPECT_EQ(config_.routes[0].host, got->tag + "--orders-0123456789.example.test");
  EXPECT_EQ(config_.routes[1].host, "orders-0123456789.example.test");
  EXPECT_EQ(deployer_->url(function("orders")), "https://orders-0123456789.example.test:8443/");
  EXPECT_EQ(deployer_->url(function("orders"), *got), "https://" + got->tag + "--orders-0123456789.example.test:8443/");
  const RevisionConfig& revision = config_.revisions.at(0);
  EXPECT_EQ(revision.limits.memory_bytes, 128ULL << 20);
  EXPECT_EQ(revision.limits.scratch_bytes, 64ULL << 20);
  EXPECT_EQ(revision.limits.scratch, Scratch::kMemory);
  for (const std::string& entry : {std::string("PORT=8080"), std::string("HOME=/home/fn"), std::string("USER=fn"), std::string("TMPDIR=/tmp"), std::string("LANG=C.UTF-8"),
                                   std::string("TZ=UTC"), std::string("SKERRY_FUNCTION=orders"), "SKERRY_REVISION=" + got->tag, std::string("SKERRY_LOCATION=here"),
                                   std::string("K_SERVICE=orders"), std::string("K_CONFIGURATION=orders"), std::string("K_REVISION=orders-00001"),
                                   std::string("PYTHONUNBUFFERED=1"), std::string("LEVEL=info")})
    EXPECT_TRUE(has(revision.env, entry)) << entry;
}

TEST_F(DeployerTest, ABuildThatFailsLeavesWhatWasInTraffic) {
  connect_edge();
  const auto first = ship(request("orders"));
  ASSERT_TRUE(first);
  builder_.error = Error(ErrorCode::kFunctionFailed, "deps: no package `nope`");
  const auto second = ship(request("orders"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, "build_failed");
  EXPECT_EQ(second.error().status, 422);
  EXPECT_EQ(second.error().stage, "deps");
  EXPECT_EQ(second.error().message, "no package `nope`");
  EXPECT_EQ(function("orders").active, first->id);
  EXPECT_EQ(revisions("orders")[0].state, RevisionState::kFailed);
  EXPECT_EQ(verified_.size(), 1U);
}

TEST_F(DeployerTest, AStartThatFailsLeavesWhatWasInTraffic) {
  connect_edge();
  const auto first = ship(request("orders"));
  ASSERT_TRUE(first);
  refuse_start_ = "no such file";
  const auto second = ship(request("orders"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, "start_failed");
  EXPECT_EQ(second.error().stage, "exec");
  EXPECT_EQ(second.error().message, "no such file");
  EXPECT_EQ(function("orders").active, first->id);
  EXPECT_EQ(revisions("orders")[0].error, "exec: no such file");
  EXPECT_EQ(config_.revisions.size(), 1U);
}

TEST_F(DeployerTest, APlatformThatCannotBuildIsNotTheFunctionsFault) {
  connect_edge();
  builder_.error = Error(ErrorCode::kUnavailable, "sandboxd is away");
  const auto got = ship(request("orders"));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, "unavailable");
  EXPECT_EQ(got.error().status, 503);
  EXPECT_EQ(revisions("orders")[0].state, RevisionState::kFailed);
}

TEST_F(DeployerTest, WithoutAnEdgeAShipFailsAndSaysWho) {
  begin_ship(request("orders"));
  clock_.advance(WatchServer::kEdgeReturns + 1s);
  const auto got = finish_ship();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, "unavailable");
  EXPECT_NE(got.error().message.find("edge"), std::string::npos);
  EXPECT_TRUE(function("orders").active.empty());
}

TEST_F(DeployerTest, AnEdgeThatDiesAfterTheStartCostsAWarningOnly) {
  connect_edge();
  begin_ship(request("orders"));
  const auto verify = edge_->expect<watch::Verify>();
  edge_->send(watch::Verified{verify.id, true, "", "", 1});
  (void)edge_->expect<watch::FunctionChange>();
  edge_->leave();
  ASSERT_TRUE(until([&] { return !watch_->connected(); }));
  clock_.advance(Deployer::kApplyTime + 1ms);
  const auto got = finish_ship();
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(progress_.warnings.size(), 1U);
  connect_edge();
  serve_edge([&] { return snapshot_.functions.size() == 1; });
  EXPECT_EQ(snapshot_.functions[0].revisions[0].id, got->id);
}

TEST_F(DeployerTest, AConfigChangeNeedsNoBuild) {
  connect_edge();
  ASSERT_TRUE(ship(request("orders", R"({"memory_mb":64})")));
  const auto changed = ship(request("orders", R"({"memory_mb":512,"scratch_mb":2048})", false));
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_EQ(builder_.requests.size(), 1U);
  EXPECT_EQ(changed->number, 2);
  EXPECT_EQ(changed->source_digest, kUpload);
  EXPECT_EQ(verified_.back().limits.memory_bytes, 512ULL << 20);
  EXPECT_EQ(verified_.back().limits.scratch_bytes, 2048ULL << 20);
  EXPECT_EQ(verified_.back().limits.scratch, Scratch::kDisk);
  EXPECT_EQ(verified_.back().layers, verified_.front().layers);
}

TEST_F(DeployerTest, AConfigChangeOfNothingIsRefused) {
  connect_edge();
  const auto got = ship(request("orders", "{}", false));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, "not_found");
  EXPECT_TRUE(store_->functions()->empty());
}

// ---- images in a registry

TEST_F(DeployerTest, AnImageMakesARevisionWhenItsTagMovedOrItsConfigurationChanged) {
  connect_edge();
  const auto image = [&](const std::string& config = "{}") {
    ShipRequest r = request("orders", config, false);
    r.image = ImageReference::parse("r.example/orders:1").value();
    r.language = "image";
    return r;
  };
  builder_.names = Digest::parse("sha256:" + std::string(64, '1')).value();
  const auto first = ship(image());
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->source_digest, builder_.names.str());
  EXPECT_EQ(builder_.requests.back().image->digest, builder_.names);

  builder_.is_built = true;
  clock_.advance(1s);
  const auto again = ship(image());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->id, first->id);
  EXPECT_EQ(revisions("orders").size(), 1U);
  EXPECT_EQ(builder_.requests.size(), 1U);

  EXPECT_EQ(ship(image(R"({"memory_mb":64})"))->number, 2);
  builder_.names = Digest::parse("sha256:" + std::string(64, '2')).value();
  EXPECT_EQ(ship(image(R"({"memory_mb":64})"))->number, 3);
  builder_.is_built = false;  // what flattens images has changed
  EXPECT_EQ(ship(image(R"({"memory_mb":64})"))->number, 4);
  builder_.is_built = true;
  clock_.advance(1s);
  set_secret("TOKEN", "x");  // and was not rolled out
  EXPECT_EQ(ship(image(R"({"memory_mb":64})"))->number, 5);
}

TEST_F(DeployerTest, AnImageThatIsNotFoundFailsTheRevisionWithItsStage) {
  ShipRequest r = request("orders", "{}", false);
  r.image = ImageReference::parse("r.example/orders:1").value();
  builder_.error = Error(ErrorCode::kFunctionFailed, "resolve: the registry r.example does not answer");
  const auto got = ship(std::move(r));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, "build_failed");
  EXPECT_EQ(got.error().stage, "resolve");
  EXPECT_EQ(got.error().message, "the registry r.example does not answer");
  EXPECT_EQ(revisions("orders").at(0).state, RevisionState::kFailed);
}

TEST_F(DeployerTest, TheHintWinsWhenItIsKnownAndTheNameElse) {
  connect_edge();
  ASSERT_TRUE(ship(request("orders")));
  ShipRequest renamed = request("something-else");
  renamed.id_hint = function("orders").id.str();
  ASSERT_TRUE(ship(std::move(renamed)));
  EXPECT_EQ(revisions("orders").size(), 2U);
  ShipRequest unknown = request("orders");
  unknown.id_hint = "REPLACE_ME";
  ASSERT_TRUE(ship(std::move(unknown)));
  EXPECT_EQ(revisions("orders").size(), 3U);
  ShipRequest named_like_another = request("billing");
  named_like_another.id_hint = "orders";  // a name is no id
  ASSERT_TRUE(ship(std::move(named_like_another)));
  EXPECT_EQ(revisions("orders").size(), 3U);
  EXPECT_EQ(store_->functions()->size(), 2U);
}

TEST_F(DeployerTest, OneChangeOfAFunctionAtATime) {
  connect_edge();
  builder_.hold = true;
  begin_ship(request("orders"));
  RecordedProgress other;
  std::optional<Shipped> second;
  const auto ship_again = [](Deployer& deployer, ShipRequest r, ShipProgress& p, std::optional<Shipped>& out) -> Task<void> { out = co_await deployer.ship(std::move(r), p); };
  scope_.spawn(ship_again(*deployer_, request("orders"), other, second));
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->error().code, "conflict");
  builder_.proceed.set();
  serve_edge([&] { return shipped_.has_value(); });
  EXPECT_TRUE(*shipped_);
  EXPECT_EQ(revisions("orders").size(), 1U);
}

TEST_F(DeployerTest, TheHundredAndFirstFunctionIsRefused) {
  for (size_t i = 0; i < limits::kFunctions; ++i) ASSERT_TRUE(store_->add_function({FunctionId("f" + std::to_string(i)), "fn" + std::to_string(i)}));
  const auto got = ship(request("one-more"));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, "limit_reached");
}

TEST_F(DeployerTest, WhatControlLeftUnfinishedIsFailedAtItsNextStart) {
  builder_.hold = true;
  begin_ship(request("orders"));
  scope_.stop();
  ASSERT_TRUE(deployer_->recover());
  ASSERT_EQ(revisions("orders").size(), 1U);
  EXPECT_EQ(revisions("orders")[0].state, RevisionState::kFailed);
  EXPECT_TRUE(function("orders").active.empty());
}

TEST_F(DeployerTest, WhatEdgeWouldRefuseNeverReachesIt) {
  connect_edge();
  auto bad = request("orders");
  bad.spec.entrypoint = {};
  bad.spec.concurrency = limits::kMaxConcurrency + 1;  // as after a bug in the checks
  const auto got = ship(std::move(bad));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, "bad_request");
  EXPECT_TRUE(verified_.empty());
}

// ---- rollback, removal

TEST_F(DeployerTest, ARollbackMovesTheRouteOnly) {
  connect_edge();
  const auto first = ship(request("orders"));
  const auto second = ship(request("orders"));
  ASSERT_TRUE(second);
  ASSERT_TRUE(rollback("orders", "1"));
  EXPECT_EQ(function("orders").active, first->id);
  EXPECT_EQ(config_.routes.size(), 3U);
  ASSERT_TRUE(rollback("orders", second->tag));
  EXPECT_EQ(function("orders").active, second->id);
  ASSERT_TRUE(rollback("orders", first->id.str()));
  EXPECT_EQ(function("orders").active, first->id);
  EXPECT_EQ(builder_.requests.size(), 2U);
  EXPECT_EQ(verified_.size(), 2U);
  EXPECT_EQ(rollback("orders", "17").error().code(), ErrorCode::kNotFound);
}

TEST_F(DeployerTest, NothingRollsBackToARevisionThatNeverStarted) {
  connect_edge();
  ASSERT_TRUE(ship(request("orders")));
  refuse_start_ = "broken";
  ASSERT_FALSE(ship(request("orders")));
  EXPECT_EQ(rollback("orders", "2").error().code(), ErrorCode::kConflict);
}

TEST_F(DeployerTest, OnlyTheLatestRevisionsKeepAHostAndOnlyTheActiveOneIsKeptWarm) {
  connect_edge();
  for (size_t i = 0; i < Deployer::kTagHosts + 3; ++i) ASSERT_TRUE(ship(request("orders", R"({"min_instances":1})")));
  EXPECT_EQ(config_.revisions.size(), Deployer::kTagHosts);
  ASSERT_TRUE(rollback("orders", "1"));
  EXPECT_EQ(config_.revisions.size(), Deployer::kTagHosts + 1);
  for (const RevisionConfig& revision : config_.revisions) EXPECT_EQ(revision.min_instances, revision.number == 1 ? 1 : 0);
}

TEST_F(DeployerTest, ARemovedFunctionIsGoneForEdgeToo) {
  connect_edge();
  ASSERT_TRUE(ship(request("orders")));
  const FunctionRow row = function("orders");
  std::optional<Result<void>> out;
  scope_.spawn(run_remove(row, out));
  serve_edge([&] { return out.has_value(); });
  EXPECT_TRUE(*out);
  EXPECT_EQ(removed_, std::vector<FunctionId>{row.id});
  EXPECT_FALSE(store_->find_function("orders")->has_value());
}

// ---- secrets

TEST_F(DeployerTest, WithoutATableAFunctionGetsAllSharedSecretsAndItsOwn) {
  connect_edge();
  ASSERT_TRUE(ship(request("orders")));
  ASSERT_TRUE(ship(request("billing")));
  set_secret("SHARED", "s");
  set_secret("BOTH", "shared");
  set_secret("BOTH", "own", function("orders").id);
  set_secret("OTHERS", "x", function("billing").id);
  ASSERT_TRUE(ship(request("orders")));
  EXPECT_EQ(secrets_in(verified_.back()), (std::map<std::string, std::string>{{"SHARED", "s"}, {"BOTH", "own"}}));
  for (const std::string& entry : verified_.back().env) EXPECT_FALSE(entry.starts_with("SHARED") || entry.starts_with("BOTH")) << entry;
}

TEST_F(DeployerTest, WithATableItGetsExactlyThoseUnderNameAndBinding) {
  connect_edge();
  set_secret("DATABASE_URL", "postgres://x");
  set_secret("NOT_LISTED", "y");
  ASSERT_TRUE(ship(request("orders", R"({"secrets":[{"name":"DATABASE_URL","binding":"DB"}]})")));
  EXPECT_EQ(secrets_in(verified_.back()), (std::map<std::string, std::string>{{"DATABASE_URL", "postgres://x"}, {"DB", "postgres://x"}}));
}

TEST_F(DeployerTest, AListedSecretThatIsMissingFailsByNameBeforeTheBuild) {
  connect_edge();
  const auto got = ship(request("orders", R"({"secrets":[{"name":"DATABASE_URL"}]})"));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, "bad_request");
  EXPECT_NE(got.error().message.find("DATABASE_URL"), std::string::npos);
  EXPECT_TRUE(builder_.requests.empty());
}

TEST_F(DeployerTest, VariablesWinOverSecretsWithAWarning) {
  connect_edge();
  set_secret("TOKEN", "secret");
  ASSERT_TRUE(ship(request("orders", R"({"env":{"TOKEN":"plain"}})")));
  EXPECT_TRUE(secrets_in(verified_.back()).empty());
  EXPECT_TRUE(has(verified_.back().env, "TOKEN=plain"));
  ASSERT_EQ(progress_.warnings.size(), 1U);
  EXPECT_NE(progress_.warnings[0].find("TOKEN"), std::string::npos);
}

TEST_F(DeployerTest, SecretsAndVariablesWinOverThePlatformsWithAWarningEach) {
  connect_edge();
  set_secret("LANG", "de_DE.UTF-8");
  ASSERT_TRUE(ship(request("orders", R"({"env":{"TZ":"Europe/Berlin"}})")));
  const std::vector<std::string>& env = verified_.back().env;
  EXPECT_EQ(secrets_in(verified_.back()).at("LANG"), "de_DE.UTF-8");
  EXPECT_TRUE(std::none_of(env.begin(), env.end(), [](const std::string& entry) { return entry.starts_with("LANG="); }));
  EXPECT_TRUE(has(env, "TZ=Europe/Berlin") && !has(env, "TZ=UTC"));
  ASSERT_EQ(progress_.warnings.size(), 2U);
  EXPECT_NE(progress_.warnings[0].find("`LANG`"), std::string::npos);
  EXPECT_NE(progress_.warnings[1].find("`TZ`"), std::string::npos);
}

TEST_F(DeployerTest, NoSecretIsInTheStoreInTheClear) {
  connect_edge();
  set_secret("TOKEN", "a-very-plain-secret");
  ASSERT_TRUE(ship(request("orders")));
  EXPECT_EQ(revisions("orders")[0].config_json.find("a-very-plain-secret"), std::string::npos);
  EXPECT_EQ(store_->secrets()->at(0).sealed.find("a-very-plain-secret"), std::string::npos);
}

TEST_F(DeployerTest, AChangedSecretMakesARevisionOfEveryFunctionThatGetsIt) {
  connect_edge();
  set_secret("TOKEN", "one");
  ASSERT_TRUE(ship(request("all")));
  ASSERT_TRUE(ship(request("listed", R"({"secrets":[{"name":"TOKEN"}]})")));
  ASSERT_TRUE(ship(request("none", R"({"secrets":[]})")));
  set_secret("TOKEN", "two");
  const SecretRollout rollout = redeploy("TOKEN");
  EXPECT_EQ(rollout.redeployed, (std::vector<std::string>{"all", "listed"}));
  EXPECT_TRUE(rollout.failed.empty());
  EXPECT_EQ(secrets_in(verified_.back()).at("TOKEN"), "two");
  EXPECT_EQ(builder_.requests.size(), 3U);
  EXPECT_EQ(revisions("none").size(), 1U);
}

TEST_F(DeployerTest, AFunctionThatDoesNotStartWithTheNewSecretGoesOnWithTheOld) {
  connect_edge();
  set_secret("TOKEN", "one");
  const auto first = ship(request("orders"));
  refuse_start_ = "wrong token";
  set_secret("TOKEN", "two");
  const SecretRollout rollout = redeploy("TOKEN");
  EXPECT_TRUE(rollout.redeployed.empty());
  ASSERT_EQ(rollout.failed.size(), 1U);
  EXPECT_EQ(rollout.failed[0].first, "orders");
  EXPECT_EQ(function("orders").active, first->id);
}

TEST_F(DeployerTest, ASecretChangedWhileEdgeIsAwayIsInItsNextSnapshot) {
  connect_edge();
  ASSERT_TRUE(ship(request("orders")));
  edge_->leave();
  edge_.reset();
  ASSERT_TRUE(until([&] { return !watch_->connected(); }));
  set_secret("TOKEN", "new");
  EXPECT_EQ(redeploy("TOKEN").redeployed, std::vector<std::string>{"orders"});
  connect_edge();
  serve_edge([&] { return !snapshot_.functions.empty(); });
  EXPECT_EQ(secrets_in(snapshot_.functions[0].revisions[0]).at("TOKEN"), "new");
}

TEST_F(DeployerTest, ASecretChangedDuringAShipIsInUseAfterIt) {
  connect_edge();
  set_secret("TOKEN", "one");
  ASSERT_TRUE(ship(request("orders")));
  begin_ship(request("orders"));
  const auto verify = edge_->expect<watch::Verify>();  // sealed with the first value
  EXPECT_EQ(secrets_in(verify.revision).at("TOKEN"), "one");
  set_secret("TOKEN", "two");
  begin_redeploy("TOKEN");
  ASSERT_TRUE(rollout_.has_value());
  EXPECT_EQ((*rollout_)->redeployed, std::vector<std::string>{"orders"});
  edge_->send(watch::Verified{verify.id, true, "", "", 1});
  serve_edge([&] { return shipped_.has_value(); });
  EXPECT_TRUE(*shipped_);
  EXPECT_EQ(secrets_in(verified_.back()).at("TOKEN"), "two");
  EXPECT_EQ(function("orders").active, verified_.back().id);
}

TEST_F(DeployerTest, ARemovedSecretGoesOutOfFunctionsThatGetAll) {
  connect_edge();
  set_secret("TOKEN", "one");
  ASSERT_TRUE(ship(request("all")));
  ASSERT_TRUE(ship(request("listed", R"({"secrets":[{"name":"TOKEN"}]})")));
  ASSERT_TRUE(store_->remove_secret("TOKEN", {}));
  EXPECT_EQ(redeploy("TOKEN", Deployer::SecretChange::kRemoved).redeployed, std::vector<std::string>{"all"});
  EXPECT_TRUE(secrets_in(verified_.back()).empty());
  EXPECT_EQ(revisions("listed").size(), 1U);
}

}  // namespace
}  // namespace skerry
