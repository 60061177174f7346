#include <gtest/gtest.h>

#include "base/id.h"
#include "contract/function_config.h"
#include "contract/watch.h"

namespace skerry {
namespace {

FunctionConfig sample() {
  RevisionConfig revision;
  revision.id = RevisionId("r1");
  revision.tag = "abc1234";
  revision.layers = {*Digest::parse("sha256:" + std::string(64, 'b'))};
  revision.argv = {"/x"};
  revision.env = {"A=b"};
  revision.limits.scratch = Scratch::kDisk;
  return {FunctionId("f1"), OrgId("default"), "orders", {{"orders-x.skerry.localhost", {{RevisionId("r1"), 100}}}}, {revision}};
}

TEST(FunctionConfig, RoundTripsThroughTheWatch) {
  const auto text = watch::encode(watch::FromControl(watch::FunctionChange{7, sample()}));
  const auto back = watch::decode_from_control(text);
  ASSERT_TRUE(back) << back.error().message();
  const auto& change = std::get<watch::FunctionChange>(*back);
  EXPECT_EQ(change.version, 7U);
  EXPECT_EQ(json::serialize(change.function.to_json()), json::serialize(sample().to_json()));
}

TEST(FunctionConfig, RefusesARouteToARevisionItDoesNotHave) {
  FunctionConfig f = sample();
  f.routes[0].targets[0].first = RevisionId("other");
  EXPECT_FALSE(FunctionConfig::from_json(f.to_json()));
}

TEST(FunctionConfig, PlansAreAcceptedByTheirOwnDecoder) {
  const RevisionConfig revision = sample().revisions[0];
  const InstanceId instance(new_ulid());
  const StartPlan plan = revision.plan(instance);
  const auto decoded = StartPlan::decode(plan.encode());
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(decoded->label, "r1");
  EXPECT_EQ(decoded->limits.scratch, Scratch::kDisk);
}

TEST(FunctionName, FollowsTheContract) {
  for (const char* good : {"a", "orders", "a-b", "a1", "abcdefghijabcdefghijabcdefghijabcdefghij"}) EXPECT_TRUE(is_function_name(good)) << good;
  for (const char* bad : {"", "1a", "-a", "a-", "a--b", "A", "a_b", "a.b", "abcdefghijabcdefghijabcdefghijabcdefghijk"}) EXPECT_FALSE(is_function_name(bad)) << bad;
}

TEST(Watch, FramesAreWholeHoweverTheyAreCut) {
  const std::string bytes = watch::frame("one") + watch::frame("") + watch::frame("three");
  for (size_t step = 1; step <= bytes.size(); ++step) {
    watch::FrameReader reader(5);
    std::vector<std::string> got;
    for (size_t at = 0; at < bytes.size(); at += step) {
      reader.append(std::string_view(bytes).substr(at, step));
      for (auto next = reader.next(); next.value(); next = reader.next()) got.push_back(**next);
    }
    EXPECT_EQ(got, (std::vector<std::string>{"one", "", "three"})) << step;
  }
  watch::FrameReader reader(4);
  reader.append(watch::frame("three"));
  EXPECT_EQ(reader.next().error().code(), ErrorCode::kTooLarge);
}

TEST(Watch, UnknownTypesAndFieldsAreErrors) {
  EXPECT_FALSE(watch::decode_from_control(R"({"type":"boo"})"));
  EXPECT_FALSE(watch::decode_from_edge(R"({"type":"applied","version":1,"x":2})"));
  EXPECT_TRUE(watch::decode_from_edge(R"({"type":"applied","version":1})"));
  EXPECT_FALSE(watch::decode_from_edge("[]"));
}

TEST(Watch, AStateTellsWhereAStartsTimeWent) {
  using namespace std::chrono_literals;
  watch::InstanceState cold{InstanceId("i"), FunctionId("f"), RevisionId("r"), "busy", "boot", 7, {.slot = 1us, .mount = 2us, .runtime = 3us, .code = 4us, .ready = 1h}};
  watch::InstanceState adopted{InstanceId("j"), FunctionId("f"), RevisionId("r"), "frozen", "warm", 8, {}};
  const auto back = watch::decode_from_edge(watch::encode(watch::FromEdge(watch::State{{cold, adopted}})));
  ASSERT_TRUE(back);
  const auto& instances = std::get<watch::State>(*back).instances;
  ASSERT_EQ(instances.size(), 2U);
  EXPECT_EQ(instances[0].phases, cold.phases);
  EXPECT_EQ(instances[1].phases, StartPhases{});
  EXPECT_EQ(instances[1].state, "frozen");
  const auto with = [](const char* phases) {
    return watch::decode_from_edge(fmt::format(R"({{"type":"state","instances":[{{"id":"i","function":"f","revision":"r","state":"busy","mode":"boot","started_ms":1,"phases_us":{}}}]}})", phases));
  };
  EXPECT_TRUE(with("[1,2,3,4,3600000000]"));
  for (const char* wrong : {"[1,2,3,4]", "[1,2,3,4,5,6]", "[1,2,3,4,-1]", "[1,2,3,4,3600000001]", "[1,2,3,4,\"5\"]", "{}"}) EXPECT_FALSE(with(wrong)) << wrong;
}

}  // namespace
}  // namespace skerry
