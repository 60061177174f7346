#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>

#include "location/fake_edge.h"
#include "location/watch_server.h"

namespace skerry {
namespace {

using namespace std::chrono_literals;

class WatchTest : public ::testing::Test {
 protected:
  // What verify() gave, once it did.
  void verify(std::string revision, Duration limit = 60s) { scope_.spawn(run_verify(std::move(revision), clock_.now() + limit)); }
  Task<void> run_verify(std::string revision, TimePoint deadline) {
    RevisionConfig config;
    config.id = RevisionId(std::move(revision));
    config.tag = "abcdefg";
    config.number = 1;
    config.layers = {*Digest::parse("sha256:" + std::string(64, 'a'))};
    config.argv = {"/app/serve"};
    verified_ = co_await server_.verify(FunctionId("f1"), std::move(config), deadline);
  }
  void publish(uint64_t version) { scope_.spawn(run_publish(version)); }
  Task<void> run_publish(uint64_t version) { published_ = co_await server_.publish(watch::FunctionRemoved{version, FunctionId("f1")}, version, clock_.now() + 5s); }
  bool until(const std::function<bool()>& done) { return loop_->run_until(done, 5s); }

  ManualClock clock_;
  std::unique_ptr<Loop> loop_ = *Loop::create(clock_);
  UniqueFd null_{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  Logger logger_{null_.get(), "test"};
  int snapshots_ = 0;
  WatchServer server_{*loop_, logger_, static_cast<uint32_t>(::getuid()), [this]() -> Result<watch::Snapshot> {
                        ++snapshots_;
                        watch::Snapshot s;
                        s.version = 7;
                        s.domain = "example.test";
                        s.key_pem = "key";
                        return s;
                      }};
  Scope scope_{*loop_};
  std::optional<Result<watch::Verified>> verified_;
  std::optional<bool> published_;
};

TEST_F(WatchTest, AnEdgeGetsTheSnapshotFirst) {
  FakeEdge edge(*loop_, server_);
  const auto snapshot = edge.expect<watch::Snapshot>();
  EXPECT_EQ(snapshot.version, 7U);
  EXPECT_EQ(snapshot.domain, "example.test");
  EXPECT_EQ(snapshot.key_pem, "key");
  EXPECT_TRUE(server_.connected());
}

TEST_F(WatchTest, ChangesComeInOrderAndAreDoneWhenApplied) {
  FakeEdge edge(*loop_, server_);
  (void)edge.expect<watch::Snapshot>();
  publish(8);
  EXPECT_EQ(edge.expect<watch::FunctionRemoved>().version, 8U);
  EXPECT_FALSE(published_.has_value());
  edge.send(watch::Applied{7});
  edge.send(watch::Applied{8});
  ASSERT_TRUE(until([&] { return published_.has_value(); }));
  EXPECT_TRUE(*published_);
}

TEST_F(WatchTest, AChangeIsNotDoneByTheVersionBeforeIt) {
  FakeEdge edge(*loop_, server_);
  publish(8);
  (void)edge.expect<watch::FunctionRemoved>();
  edge.send(watch::Applied{7});
  loop_->run_ready();
  clock_.advance(6s);
  ASSERT_TRUE(until([&] { return published_.has_value(); }));
  EXPECT_FALSE(*published_);
}

TEST_F(WatchTest, AChangeWithoutAnEdgeSaysSoAtOnce) {
  publish(8);
  ASSERT_TRUE(published_.has_value());
  EXPECT_FALSE(*published_);
}

TEST_F(WatchTest, AnEdgeThatReturnsGetsASnapshotAgain) {
  FakeEdge first(*loop_, server_);
  (void)first.expect<watch::Snapshot>();
  first.leave();
  ASSERT_TRUE(until([&] { return !server_.connected(); }));
  FakeEdge second(*loop_, server_);
  (void)second.expect<watch::Snapshot>();
  EXPECT_EQ(snapshots_, 2);
}

TEST_F(WatchTest, VerifyGivesWhatEdgeSaid) {
  FakeEdge edge(*loop_, server_);
  verify("r1");
  const auto request = edge.expect<watch::Verify>();
  EXPECT_EQ(request.revision.id.str(), "r1");
  EXPECT_EQ(request.function.str(), "f1");
  edge.send(watch::Verified{request.id + 1, true, "", "somebody else's", 1});
  edge.send(watch::Verified{request.id, false, "exec", "no such file", 12});
  ASSERT_TRUE(until([&] { return verified_.has_value(); }));
  ASSERT_TRUE(*verified_);
  EXPECT_FALSE((*verified_)->ok);
  EXPECT_EQ((*verified_)->phase, "exec");
  EXPECT_EQ((*verified_)->message, "no such file");
}

TEST_F(WatchTest, VerifyHasADeadline) {
  FakeEdge edge(*loop_, server_);
  verify("r1", 30s);
  (void)edge.expect<watch::Verify>();
  clock_.advance(31s);
  ASSERT_TRUE(until([&] { return verified_.has_value(); }));
  ASSERT_FALSE(*verified_);
  EXPECT_EQ(verified_->error().code(), ErrorCode::kUnavailable);
}

TEST_F(WatchTest, VerifyAsksTheEdgeThatReturns) {
  FakeEdge first(*loop_, server_);
  verify("r1");
  (void)first.expect<watch::Verify>();
  first.leave();
  ASSERT_TRUE(until([&] { return !server_.connected(); }));
  EXPECT_FALSE(verified_.has_value());
  FakeEdge second(*loop_, server_);
  const auto request = second.expect<watch::Verify>();
  second.send(watch::Verified{request.id, true, "", "", 5});
  ASSERT_TRUE(until([&] { return verified_.has_value(); }));
  ASSERT_TRUE(*verified_);
  EXPECT_TRUE((*verified_)->ok);
}

TEST_F(WatchTest, VerifyWaitsForAnEdgeThatIsStillStarting) {
  verify("r1");
  EXPECT_FALSE(verified_.has_value());
  FakeEdge edge(*loop_, server_);
  EXPECT_EQ(edge.expect<watch::Verify>().revision.id.str(), "r1");
}

TEST_F(WatchTest, VerifyGivesUpOnAnEdgeThatStaysAway) {
  verify("r1");
  clock_.advance(WatchServer::kEdgeReturns + 1ms);
  ASSERT_TRUE(until([&] { return verified_.has_value(); }));
  ASSERT_FALSE(*verified_);
  EXPECT_EQ(verified_->error().code(), ErrorCode::kUnavailable);
}

TEST_F(WatchTest, ARevisionThatTakesEdgeDownIsNotTriedForEver) {
  verify("poison");
  for (int i = 0; i < WatchServer::kVerifyTries; ++i) {
    FakeEdge edge(*loop_, server_);
    (void)edge.expect<watch::Verify>();
    edge.leave();
    ASSERT_TRUE(until([&] { return !server_.connected(); }));
  }
  ASSERT_TRUE(until([&] { return verified_.has_value(); }));
  EXPECT_FALSE(*verified_);
}

TEST_F(WatchTest, InstancesAreWhatEdgeSaidLastAndNoneWithoutAnEdge) {
  FakeEdge edge(*loop_, server_);
  watch::State state;
  state.instances.push_back({InstanceId("i1"), FunctionId("f1"), RevisionId("r1"), "idle", "boot", 1});
  edge.send(state);
  ASSERT_TRUE(until([&] { return server_.instances().size() == 1; }));
  EXPECT_EQ(server_.instances()[0].id.str(), "i1");
  edge.leave();
  ASSERT_TRUE(until([&] { return !server_.connected(); }));
  EXPECT_TRUE(server_.instances().empty());
}

TEST_F(WatchTest, WhatIsNoMessageEndsTheConnection) {
  for (const std::string& bytes : {watch::frame("{\"type\":\"surprise\"}"), watch::frame("not json"), watch::frame(""), std::string("\xff\xff\xff\xff", 4)}) {
    FakeEdge edge(*loop_, server_);
    (void)edge.expect<watch::Snapshot>();
    edge.send_bytes(bytes);
    EXPECT_TRUE(until([&] { return edge.closed(); }));
    EXPECT_FALSE(server_.connected());
  }
}

TEST_F(WatchTest, AMessageMayComeByteByByte) {
  FakeEdge edge(*loop_, server_);
  publish(8);
  (void)edge.expect<watch::FunctionRemoved>();
  for (const char c : watch::frame(watch::encode(watch::Applied{8}))) {
    edge.send_bytes({&c, 1});
    loop_->run_ready();
  }
  ASSERT_TRUE(until([&] { return published_.has_value(); }));
  EXPECT_TRUE(*published_);
}

}  // namespace
}  // namespace skerry
