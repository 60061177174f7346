#include "contract/plan.h"

#include <algorithm>

#include "base/id.h"
#include "contract/wire.h"

namespace skerry {
namespace {

constexpr uint32_t kPlanVersion = 5;
constexpr size_t kMaxLabelBytes = 128;

Result<void> check(const StartPlan& plan) {
  const auto refuse = [](std::string_view why) { return fail(ErrorCode::kInvalidArgument, "start plan: {}", why); };
  if (!is_ulid(plan.id)) return refuse("id is not a ULID");
  if (plan.layers.empty()) return refuse("no layer");
  if (plan.argv.empty() || plan.argv[0].empty()) return refuse("no program");
  if (!plan.cwd.starts_with('/')) return refuse("cwd is not absolute");
  if ((plan.kind == PlanKind::kJob) != (plan.transport == Transport::kNone)) return refuse("transport does not fit the kind");
  if ((plan.transport == Transport::kTcp) != (plan.port != 0)) return refuse("port does not fit the transport");
  if (plan.runtime_layers > plan.layers.size() || (plan.runtime_layers > 0 && plan.transport != Transport::kUnix)) return refuse("runtime layers");
  if (plan.spare && (plan.runtime_layers != plan.layers.size() || plan.has_secrets)) return refuse("a spare with something of a function");
  const auto has_nul = [](const std::string& s) { return s.find('\0') != std::string::npos; };
  for (const std::string& argument : plan.argv)
    if (has_nul(argument)) return refuse("an argument has a NUL byte");
  for (const std::string& entry : plan.env)
    if (has_nul(entry) || entry.find('=') == std::string::npos || entry[0] == '=') return refuse("an environment entry is not NAME=value");
  if (has_nul(plan.cwd) || has_nul(plan.label)) return refuse("a NUL byte in cwd or label");
  if (plan.hostname.empty() || plan.hostname.size() > 63 ||
      plan.hostname.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos)
    return refuse("hostname");
  const Limits& l = plan.limits;
  if (l.memory_bytes < (16ULL << 20) || l.cpu_millis < 10 || l.max_processes < 2 || l.max_open_files < 16 || l.scratch_bytes < 4096)
    return refuse("a limit is too small to start anything");
  if (l.scratch == Scratch::kDisk && (l.scratch_bytes < kMinScratchDiskBytes || l.scratch_bytes % (1ULL << 20) != 0)) return refuse("a disk of that size");
  if (l.memory_bytes > kMaxMemoryBytes || l.scratch_bytes > kMaxScratchBytes || l.cpu_millis > kMaxCpuMillis || l.max_processes > kMaxProcesses ||
      l.max_open_files > kMaxOpenFiles)
    return refuse("a limit that no machine has");
  if (!plan.egress.empty() && plan.network != Network::kInternet) return refuse("an egress policy without a network");
  return {};
}

// What a runtime reads when it starts, and what therefore must be there before the function's own environment is.
constexpr std::string_view kRuntimeEnvironment[] = {"HOME", "USER", "TMPDIR", "LANG", "TZ", "PYTHONUNBUFFERED", "NODE_ENV"};

}  // namespace

StartPlan spare_of(const StartPlan& plan, std::string id) {
  StartPlan spare;
  spare.id = std::move(id);
  spare.label = "spare";
  spare.isolation = plan.isolation;
  spare.layers.assign(plan.layers.begin(), plan.layers.begin() + plan.runtime_layers);
  spare.argv = plan.argv;
  spare.env.emplace_back("PATH=/usr/local/bin:/usr/bin:/bin");
  spare.env.push_back(fmt::format("SKERRY_ASSIGNMENT_FD={}", kAssignmentFd));
  for (const std::string& entry : plan.env) {
    const std::string_view name = std::string_view(entry).substr(0, entry.find('='));
    if (std::find(std::begin(kRuntimeEnvironment), std::end(kRuntimeEnvironment), name) != std::end(kRuntimeEnvironment)) spare.env.push_back(entry);
  }
  spare.cwd = plan.cwd;
  spare.hostname = "spare";
  spare.transport = plan.transport;
  spare.network = plan.network;
  spare.runtime_layers = plan.runtime_layers;
  spare.spare = true;
  spare.limits = plan.limits;
  spare.egress = plan.egress;  // its address is that of a slot with the policy
  return spare;
}

std::string StartPlan::encode() const {
  wire::Writer w;
  w.number(kPlanVersion);
  w.string(id);
  w.string(label);
  w.number(kind);
  w.number(isolation);
  w.number(static_cast<uint32_t>(layers.size()));
  for (const Digest& layer : layers) w.string(layer.str());
  w.strings(argv);
  w.strings(env);
  w.string(cwd);
  w.string(hostname);
  w.number(transport);
  w.number(port);
  w.number(network);
  w.number(runtime_layers);
  w.number(static_cast<uint8_t>(spare));
  w.number(static_cast<uint8_t>(has_secrets));
  w.number(limits.memory_bytes);
  w.number(limits.scratch_bytes);
  w.number(limits.cpu_millis);
  w.number(limits.max_processes);
  w.number(limits.max_open_files);
  w.number(limits.scratch);
  w.string(egress.encode());
  return w.take();
}

Result<StartPlan> StartPlan::decode(std::string_view bytes) {
  if (bytes.size() > kMaxPlanBytes) return fail(ErrorCode::kTooLarge, "start plan of {} bytes (limit {})", bytes.size(), kMaxPlanBytes);
  wire::Reader r(bytes);
  if (r.number<uint32_t>() != kPlanVersion) return fail(ErrorCode::kProtocol, "start plan of another version");
  StartPlan plan;
  plan.id = r.string(26);
  plan.label = r.string(kMaxLabelBytes);
  plan.kind = r.enumeration(PlanKind::kJob);
  plan.isolation = r.enumeration(Isolation::kNative);
  const auto layer_count = r.number<uint32_t>();
  if (layer_count > kMaxLayers) r.fail_now();
  for (uint32_t i = 0; i < layer_count && !r.failed(); ++i) {
    auto digest = Digest::parse(r.string(80));
    if (!digest) return pass(std::move(digest).error(), "start plan: layer");
    plan.layers.push_back(std::move(*digest));
  }
  plan.argv = r.strings(kMaxArguments, kMaxStringBytes);
  plan.env = r.strings(kMaxEnvironment, kMaxStringBytes);
  plan.cwd = r.string(4096);
  plan.hostname = r.string(63);
  plan.transport = r.enumeration(Transport::kTcp);
  plan.port = r.number<uint16_t>();
  plan.network = r.enumeration(Network::kInternet);
  plan.runtime_layers = r.number<uint8_t>();
  plan.spare = r.boolean();
  plan.has_secrets = r.boolean();
  plan.limits.memory_bytes = r.number<uint64_t>();
  plan.limits.scratch_bytes = r.number<uint64_t>();
  plan.limits.cpu_millis = r.number<uint32_t>();
  plan.limits.max_processes = r.number<uint32_t>();
  plan.limits.max_open_files = r.number<uint32_t>();
  plan.limits.scratch = r.enumeration(Scratch::kDisk);
  const std::string egress = r.string(kMaxPolicyBytes);
  TRY(r.finish("start plan"));
  TRY_ASSIGN(plan.egress, EgressPolicy::decode(egress), "start plan");
  TRY(check(plan));
  return plan;
}

}  // namespace skerry
