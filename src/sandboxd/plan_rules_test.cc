#include "sandboxd/plan_rules.h"

#include <gtest/gtest.h>

#include "contract/function_config.h"

namespace skerry::sandbox {
namespace {

const std::string kId = "01hv8z2k3m4n5p6q7r8s9tavwx";

RevisionConfig revision() {
  RevisionConfig r;
  r.id = RevisionId("rev1");
  r.layers = {*Digest::parse("sha256:" + std::string(64, 'a')), *Digest::parse("sha256:" + std::string(64, 'b'))};
  r.argv = {"/usr/bin/python3", "main.py"};
  r.env = {"PATH=/usr/bin", "LANG=C.UTF-8"};
  r.runtime_layers = 1;
  return r;
}
StartPlan instance() { return revision().plan(InstanceId(kId)); }
StartPlan job() {
  StartPlan plan;
  plan.id = kId;
  plan.label = "build";
  plan.kind = PlanKind::kJob;
  plan.layers = revision().layers;
  plan.argv = {"/bin/sh"};
  plan.hostname = "build";
  plan.limits = {Settings().max_job_memory_bytes, 2ULL << 30, 4000, 4096, 16'384};  // as build/stage_job.h
  return plan;
}

// As it comes to starter: through the codec, then by the rules of who sent it.
template <typename Change>
bool carried_out(Role role, StartPlan plan, Change change) {
  change(plan);
  const auto heard = StartPlan::decode(plan.encode());
  return heard && check_plan(role, *heard, Settings());
}

TEST(PlanRules, EdgeStartsWhatAreDeployedRevisions) {
  const auto unchanged = [](StartPlan&) {};
  EXPECT_TRUE(carried_out(Role::kEdge, instance(), unchanged));
  RevisionConfig server = revision();
  server.transport = Transport::kTcp;
  server.runtime_layers = 0;
  server.sealed_secrets = "c2VhbGVk";
  server.limits = {Settings().max_memory_bytes, 2ULL << 30, 8000, 1024, 4096};
  EXPECT_TRUE(carried_out(Role::kEdge, server.plan(InstanceId(kId)), unchanged));
  server.limits.scratch = Scratch::kDisk;
  server.limits.scratch_bytes = Settings().max_scratch_bytes;
  EXPECT_TRUE(carried_out(Role::kEdge, server.plan(InstanceId(kId)), unchanged));
  EXPECT_TRUE(carried_out(Role::kControl, job(), unchanged));
}

// Every field of a plan, with values that are well formed or not and in any case nothing that edge asks for.
TEST(PlanRules, APolicyIsAnInstancesAndInItsOneForm) {
  const auto held = [](StartPlan& p) { p.egress.deny = {*parse_egress_rule("203.0.113.7")}; };
  EXPECT_TRUE(carried_out(Role::kEdge, instance(), held));
  EXPECT_FALSE(carried_out(Role::kControl, job(), held));
  EXPECT_FALSE(carried_out(Role::kEdge, instance(), [](StartPlan& p) { p.egress.deny = std::vector(2, *parse_egress_rule("203.0.113.7")); }));
  EXPECT_FALSE(check_policies(Role::kControl));
  EXPECT_TRUE(check_policies(Role::kEdge));
}

TEST(PlanRules, EdgeAsksForNothingElse) {
  const auto refused = [](auto change) { return !carried_out(Role::kEdge, instance(), change); };
  const std::string nul("a\0b", 3);
  EXPECT_TRUE(refused([](StartPlan& p) { p.id = "s1"; }));  // names no control group, socket or file of its choice
  EXPECT_TRUE(refused([](StartPlan& p) { p.id = "../../../../../etc/passwd12"; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.id[0] = '8'; }));  // past 128 bits
  EXPECT_TRUE(refused([](StartPlan& p) { p.label.clear(); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.label = std::string(129, 'x'); }));
  EXPECT_TRUE(refused([&](StartPlan& p) { p.label = nul; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.kind = static_cast<PlanKind>(2); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.kind = PlanKind::kJob, p.transport = Transport::kNone, p.runtime_layers = 0; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.isolation = static_cast<Isolation>(1); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.layers.clear(), p.runtime_layers = 0; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.layers.resize(kMaxLayers + 1, p.layers[0]); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.layers[0] = Digest(); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.argv.clear(); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.argv[0].clear(); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.argv.resize(kMaxArguments + 1, "x"); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.argv.emplace_back(kMaxStringBytes + 1, 'x'); }));
  EXPECT_TRUE(refused([&](StartPlan& p) { p.argv.push_back(nul); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.env.resize(kMaxEnvironment + 1, "A=b"); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.env.emplace_back("PATH=/app"); }));  // a second of one name
  EXPECT_TRUE(refused([](StartPlan& p) { p.env.emplace_back("nothing"); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.env.emplace_back(""); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.env.push_back("A=" + std::string(kMaxStringBytes, 'x')); }));
  EXPECT_TRUE(refused([](StartPlan& p) {
    for (int i = 0; i < 100; ++i) p.env.push_back("A" + std::to_string(i) + "=" + std::string(12'000, 'x'));  // together over kMaxPlanBytes
  }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.cwd = "/"; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.cwd = "app"; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.cwd = "/" + std::string(4096, 'x'); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.hostname = "database"; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.hostname = "a.b"; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.transport = Transport::kNone, p.runtime_layers = 0; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.transport = static_cast<Transport>(3); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.transport = Transport::kTcp, p.runtime_layers = 0; }));  // without a port
  EXPECT_TRUE(refused([](StartPlan& p) { p.port = 80; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.network = Network::kNone; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.network = static_cast<Network>(2); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.runtime_layers = 3; }));  // more than there are
  EXPECT_TRUE(refused([](StartPlan& p) { p = spare_of(p, p.id); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.memory_bytes = Settings().max_memory_bytes + 1; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.memory_bytes = (16ULL << 20) - 1; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.memory_bytes = UINT64_MAX; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.scratch_bytes = 4095; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.scratch_bytes = kMaxScratchBytes + 1; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.scratch = static_cast<Scratch>(2); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.scratch = Scratch::kDisk, p.limits.scratch_bytes = kMinScratchDiskBytes - (1 << 20); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.scratch = Scratch::kDisk, p.limits.scratch_bytes = kMinScratchDiskBytes + 1; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.scratch = Scratch::kDisk, p.limits.scratch_bytes = Settings().max_scratch_bytes + (1 << 20); }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.cpu_millis = 8001; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.cpu_millis = 9; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.max_processes = 1025; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.max_processes = 1; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.max_open_files = 4097; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.max_open_files = 15; }));
}

TEST(PlanRules, ControlStartsJobsWithinItsCaps) {
  const auto refused = [](auto change) { return !carried_out(Role::kControl, job(), change); };
  EXPECT_FALSE(carried_out(Role::kControl, instance(), [](StartPlan&) {}));
  EXPECT_TRUE(refused([](StartPlan& p) { p.has_secrets = true; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.transport = Transport::kUnix; }));
  EXPECT_TRUE(refused([](StartPlan& p) { ++p.limits.memory_bytes; }));
  EXPECT_TRUE(refused([](StartPlan& p) { ++p.limits.max_processes; }));
  EXPECT_TRUE(refused([](StartPlan& p) { ++p.limits.max_open_files; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.cpu_millis = 64'001; }));
  EXPECT_TRUE(refused([](StartPlan& p) { p.limits.scratch = Scratch::kDisk; }));
}

TEST(PlanRules, NobodyStartsSpares) {
  const StartPlan spare = spare_of(instance(), kId);
  for (const Role role : {Role::kEdge, Role::kControl, Role::kRoot}) EXPECT_FALSE(check_plan(role, spare, Settings()));
}

TEST(PlanRules, SparesAreRuntimesAndNothingOfAFunction) {
  const auto heard = [](auto change) -> Result<void> {
    StartPlan spare = spare_of(instance(), kId);
    change(spare);
    TRY_ASSIGN(const auto orders, decode_spares(encode_spares({{spare, 1}})));
    return check_spares(Role::kEdge, orders, Settings());
  };
  EXPECT_TRUE(heard([](StartPlan&) {}));
  EXPECT_FALSE(heard([](StartPlan& p) { p = instance(); }));
  EXPECT_FALSE(heard([](StartPlan& p) { p.layers = instance().layers; }));  // the function's own layer beside the runtime's
  EXPECT_FALSE(heard([](StartPlan& p) { p.env.emplace_back("LD_PRELOAD=/app/x.so"); }));
  EXPECT_FALSE(heard([](StartPlan& p) { p.env.clear(); }));
  EXPECT_FALSE(heard([](StartPlan& p) { p.hostname = "i-test"; }));
  EXPECT_FALSE(heard([](StartPlan& p) { p.label = "rev1"; }));
  EXPECT_FALSE(heard([](StartPlan& p) { p.has_secrets = true; }));
  EXPECT_FALSE(heard([](StartPlan& p) { p.cwd = "/"; }));
  EXPECT_FALSE(heard([](StartPlan& p) { p.limits.memory_bytes = Settings().max_memory_bytes + 1; }));
  EXPECT_FALSE(heard([](StartPlan& p) { p.limits.cpu_millis = 8001; }));
  EXPECT_FALSE(heard([](StartPlan& p) { p.limits.scratch = Scratch::kDisk, p.limits.scratch_bytes = Settings().max_scratch_bytes + (1 << 20); }));
  EXPECT_FALSE(check_spares(Role::kControl, {}, Settings()));
  EXPECT_FALSE(decode_spares(encode_spares(std::vector<SpareOrder>(kMaxSpareOrders + 1, {spare_of(instance(), kId), 1}))));
}

}  // namespace
}  // namespace skerry::sandbox
