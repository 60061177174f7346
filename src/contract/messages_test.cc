#include <gtest/gtest.h>

#include "base/id.h"
#include "contract/plan.h"
#include "contract/sandbox_messages.h"

namespace skerry {
namespace {

StartPlan good_plan() {
  StartPlan plan;
  plan.id = new_ulid();
  plan.label = "rev1";
  plan.layers = {*Digest::parse("sha256:" + std::string(64, 'a'))};
  plan.argv = {"/bin/x", "y"};
  plan.env = {"A=b"};
  plan.transport = Transport::kUnix;
  return plan;
}

TEST(Plan, RoundTrips) {
  const StartPlan plan = good_plan();
  const auto back = StartPlan::decode(plan.encode());
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->encode(), plan.encode());
  EXPECT_EQ(back->argv[1], "y");
}

TEST(Plan, RefusesWhatIsNotAPlan) {
  const auto refused = [](auto change) {
    StartPlan plan = good_plan();
    change(plan);
    return !StartPlan::decode(plan.encode());
  };
  EXPECT_TRUE(refused([](StartPlan& p) { p.id = "../../../../../../../../..aa"; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.layers.clear(); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.layers.resize(kMaxLayers + 1, p.layers[0]); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.argv.clear(); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.argv.resize(kMaxArguments + 1, "x"); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.argv.emplace_back("a\0b", 3); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.env = {"=x"}; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.env = {"A=" + std::string(kMaxStringBytes, 'x')}; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.cwd = "app"; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.transport = Transport::kTcp; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.kind = PlanKind::kJob; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.memory_bytes = 0; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.hostname = "a.b"; }));
}

TEST(Plan, EveryTruncationIsAnErrorAndNeverACrash) {
  const std::string bytes = good_plan().encode();
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(StartPlan::decode(std::string_view(bytes).substr(0, n)));
  EXPECT_FALSE(StartPlan::decode(bytes + "x"));
}

TEST(SandboxMessages, RoundTripWithTheirTypes) {
  const std::string id = new_ulid();
  const auto signal = sandbox::decode_client(sandbox::encode(sandbox::ClientMessage(sandbox::Signal{id, sandbox::SignalKind::kKill})));
  ASSERT_TRUE(signal);
  EXPECT_EQ(std::get<sandbox::Signal>(*signal).id, id);
  EXPECT_EQ(std::get<sandbox::Signal>(*signal).kind, sandbox::SignalKind::kKill);
  const auto exited = sandbox::decode_starter(sandbox::encode(sandbox::StarterMessage(sandbox::Exited{id, 3, 0, true, 5, 6})));
  ASSERT_TRUE(exited);
  EXPECT_TRUE(std::get<sandbox::Exited>(*exited).out_of_memory);
  const auto unpack = sandbox::decode_layer_request(sandbox::encode(sandbox::LayerRequest(sandbox::UnpackLayer{"sha256:x", "/app", 1, 2})));
  ASSERT_TRUE(unpack);
  EXPECT_EQ(std::get<sandbox::UnpackLayer>(*unpack).subfolder, "/app");
}

TEST(SandboxMessages, GarbageIsAnError) {
  EXPECT_FALSE(sandbox::decode_client(""));
  EXPECT_FALSE(sandbox::decode_client("\x7f"));
  EXPECT_FALSE(sandbox::decode_client(std::string("\x01\xff\xff\xff\xff", 5)));
  EXPECT_FALSE(sandbox::decode_client(sandbox::encode(sandbox::ClientMessage(sandbox::Signal{"../../../../etc/passwd....", {}}))));
}

}  // namespace
}  // namespace skerry
