#include "build/sandbox_client.h"

#include <gtest/gtest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "contract/sandbox_messages.h"
#include "crypto/hash.h"
#include "loop/scope.h"
#include "os/file.h"
#include "os/unix_socket.h"

namespace skerry {
namespace {

using namespace std::chrono_literals;
using namespace sandbox;

// The other end of a socket: blocking, in a thread of the test.
class Peer {
 public:
  explicit Peer(const std::string& path) : listener_(*listen_unix(path, SocketType::kSeqpacket, {::getuid(), ::getgid(), 0600})) {}
  UniqueFd accept() const {
    pollfd p{listener_.get(), POLLIN, 0};
    return UniqueFd(::poll(&p, 1, 5000) == 1 ? ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC) : -1);
  }

 private:
  UniqueFd listener_;
};

class SandboxClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/skerry_client_XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static Task<void> run(SandboxJobs& jobs, Job job, TimePoint deadline, std::optional<Result<JobEnd>>& out) { out.emplace(co_await jobs.run(std::move(job), deadline)); }
  Result<JobEnd> run_job(Duration limit = 10s) {
    const UniqueFd null = *open_at(AT_FDCWD, "/dev/null", O_RDWR);
    Job job;
    job.label = "build deps";
    job.layers = {Digest::of_bytes(sha256("image"))};
    job.argv = {"true"};
    job.in = job.out = job.err = null.get();
    std::optional<Result<JobEnd>> out;
    SandboxJobs jobs(*loop_, folder_);
    Scope scope(*loop_);
    scope.spawn(run(jobs, std::move(job), loop_->now() + limit, out));
    EXPECT_TRUE(loop_->run_until([&] { return out.has_value(); }, 20s));
    return out ? std::move(*out) : fail(ErrorCode::kInternal, "it did not end");
  }
  static std::string id_of(const Message& message) { return StartPlan::decode(*read_all(message.fds[0].get(), kMaxPlanBytes))->id; }
  static void say(const UniqueFd& fd, const StarterMessage& message) { EXPECT_TRUE(send_message(fd.get(), encode(message))); }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_ = *Loop::create(clock_);
  std::string folder_;
};

TEST_F(SandboxClientTest, AJobIsAPlanAndThreeDescriptorsAndEndsOnce) {
  Peer starter(folder_ + "/starter.sock");
  std::thread peer([&] {
    const UniqueFd client = starter.accept();
    const auto message = receive_message(client.get());
    ASSERT_TRUE(message);
    ASSERT_TRUE(std::holds_alternative<Start>(*decode_client(message->bytes)));
    ASSERT_EQ(message->fds.size(), 4U);
    const auto plan = StartPlan::decode(*read_all(message->fds[0].get(), kMaxPlanBytes));
    ASSERT_TRUE(plan) << plan.error().message();
    EXPECT_EQ(plan->kind, PlanKind::kJob);
    EXPECT_EQ(plan->transport, Transport::kNone);
    EXPECT_FALSE(plan->has_secrets);
    say(client, Started{1, plan->id, 1, 2, 3});
    say(client, Exited{plan->id, 7, 0, false, 0, 0});
  });
  const auto ended = run_job();
  peer.join();
  ASSERT_TRUE(ended) << ended.error().message();
  EXPECT_EQ(ended->exit_code, 7);
  EXPECT_FALSE(ended->out_of_memory);
}

TEST_F(SandboxClientTest, AStartThatFailsSaysInWhichPhase) {
  Peer starter(folder_ + "/starter.sock");
  std::thread peer([&] {
    const UniqueFd client = starter.accept();
    const auto message = receive_message(client.get());
    say(client, StartFailed{1, id_of(*message), "mount", "no such layer", static_cast<uint8_t>(ErrorCode::kNotFound)});
  });
  const auto ended = run_job();
  peer.join();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), ErrorCode::kNotFound);
  EXPECT_NE(ended.error().message().find("mount"), std::string::npos);
}

TEST_F(SandboxClientTest, ALateJobIsGivenUpByClosing) {
  Peer starter(folder_ + "/starter.sock");
  bool closed = false;
  std::thread peer([&] {
    const UniqueFd client = starter.accept();
    const auto message = receive_message(client.get());
    say(client, Started{1, id_of(*message), 0, 0, 0});
    closed = !receive_message(client.get()).has_value();  // end of the connection
  });
  const auto ended = run_job(50ms);
  peer.join();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), ErrorCode::kTimeout);
  EXPECT_TRUE(closed);
}

TEST_F(SandboxClientTest, AStarterThatDiesMakesAClearErrorAndItsOrphanIsKilled) {
  auto starter = std::make_unique<Peer>(folder_ + "/starter.sock");
  std::string started, killed;
  std::thread peer([&] {
    {
      const UniqueFd client = starter->accept();
      const auto message = receive_message(client.get());
      started = id_of(*message);
      say(client, Started{1, started, 0, 0, 0});
      // Nobody listens for a while, then the next one does.
      starter.reset();
    }
    Peer next(folder_ + "/starter.sock");
    const UniqueFd client = next.accept();
    const auto message = receive_message(client.get());
    ASSERT_TRUE(message) << message.error().message();
    const auto decoded = decode_client(message->bytes);
    ASSERT_TRUE(decoded && std::holds_alternative<Signal>(*decoded));
    EXPECT_EQ(std::get<Signal>(*decoded).kind, SignalKind::kKill);
    killed = std::get<Signal>(*decoded).id;
  });
  const auto ended = run_job();
  peer.join();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), ErrorCode::kUnavailable);
  EXPECT_NE(ended.error().message().find("try again"), std::string::npos);
  EXPECT_FALSE(started.empty());
  EXPECT_EQ(killed, started);
}

TEST_F(SandboxClientTest, WhenSandboxdIsAwayItSaysSo) {
  const auto ended = run_job();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), ErrorCode::kUnavailable);
}

TEST_F(SandboxClientTest, MessagesThatAreNoneAreAnError) {
  Peer starter(folder_ + "/starter.sock");
  std::thread peer([&] {
    const UniqueFd client = starter.accept();
    (void)receive_message(client.get());
    EXPECT_TRUE(send_message(client.get(), "\x7fnonsense"));
    (void)receive_message(client.get());
  });
  const auto ended = run_job();
  peer.join();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), ErrorCode::kProtocol);
}

Task<void> unpack(SandboxLayers& layers, Digest digest, int archive, std::optional<Result<LayerSize>>& out) {
  out.emplace(co_await layers.unpack(std::move(digest), archive, "/app", 1000, 10));
}
Task<void> has(SandboxLayers& layers, Digest digest, std::optional<Result<bool>>& out) { out.emplace(co_await layers.has(std::move(digest))); }

TEST_F(SandboxClientTest, LayersAreAskedForByDigest) {
  Peer filler(folder_ + "/filler.sock");
  const Digest digest = Digest::of_bytes(sha256("archive"));
  std::thread peer([&] {
    for (const bool ok : {true, false}) {
      const UniqueFd client = filler.accept();
      const auto message = receive_message(client.get());
      const auto request = decode_layer_request(message->bytes);
      ASSERT_TRUE(request && std::holds_alternative<UnpackLayer>(*request));
      const auto& u = std::get<UnpackLayer>(*request);
      EXPECT_EQ(u.digest, digest.str());
      EXPECT_EQ(u.subfolder, "/app");
      EXPECT_EQ(u.max_bytes, 1000U);
      EXPECT_EQ(*read_all(message->fds.at(0).get(), 100), "archive");
      LayerDone done{ok, false, static_cast<uint8_t>(ErrorCode::kForbidden), "`../x` leads out", 12, 3};
      EXPECT_TRUE(send_message(client.get(), encode(done)));
    }
    const UniqueFd client = filler.accept();
    const auto message = receive_message(client.get());
    EXPECT_TRUE(std::holds_alternative<HasLayer>(*decode_layer_request(message->bytes)));
    EXPECT_TRUE(send_message(client.get(), encode(LayerDone{true, true, 0, "", 0, 0})));
  });
  SandboxLayers layers(*loop_, folder_);
  std::optional<Result<LayerSize>> made, refused;
  std::optional<Result<bool>> there;
  Scope scope(*loop_);
  for (auto* out : {&made, &refused}) {
    const UniqueFd archive = *make_sealed_memfd("archive", "archive");
    scope.spawn(unpack(layers, digest, archive.get(), *out));
    EXPECT_TRUE(loop_->run_until([&] { return out->has_value(); }, 10s));
  }
  scope.spawn(has(layers, digest, there));
  EXPECT_TRUE(loop_->run_until([&] { return there.has_value(); }, 10s));
  peer.join();
  ASSERT_TRUE(made && *made);
  EXPECT_EQ((*made)->bytes, 12U);
  ASSERT_TRUE(refused && !*refused);
  EXPECT_EQ(refused->error().code(), ErrorCode::kForbidden);
  EXPECT_TRUE(there && *there && **there);
}

}  // namespace
}  // namespace skerry
