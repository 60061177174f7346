#include "sandboxd/plan_rules.h"

#include <set>
#include <string_view>

namespace skerry::sandbox {
namespace {

// CONTRACT, limits. What an operator may raise is in Settings.
constexpr Limits kInstanceCaps{.cpu_millis = 8000, .max_processes = 1024, .max_open_files = 4096};
// Of build jobs: compilers and npm open thousands of files.
constexpr Limits kJobCaps{.cpu_millis = 64'000, .max_processes = 4096, .max_open_files = 16'384};

auto forbid(std::string_view what) { return fail(ErrorCode::kForbidden, "this client may not ask for {}", what); }

// `max_disk_bytes` is 0 for who gets memory only.
Result<void> check_limits(const Limits& l, const Limits& caps, uint64_t max_memory_bytes, uint64_t max_disk_bytes) {
  if (l.memory_bytes > max_memory_bytes) return forbid(fmt::format("{} MB of memory (cap {})", l.memory_bytes >> 20, max_memory_bytes >> 20));
  if (l.cpu_millis > caps.cpu_millis) return forbid("so much CPU");
  if (l.max_processes > caps.max_processes) return forbid("so many processes");
  if (l.max_open_files > caps.max_open_files) return forbid("so many open files");
  if (l.scratch == Scratch::kDisk && l.scratch_bytes > max_disk_bytes)
    return forbid(fmt::format("{} MB of scratch disk (cap {})", l.scratch_bytes >> 20, max_disk_bytes >> 20));
  return {};
}

Result<void> check_names(const std::vector<std::string>& env) {
  std::set<std::string_view> names;
  for (const std::string_view entry : env)
    if (!names.insert(entry.substr(0, entry.find('='))).second) return forbid("a variable twice");
  return {};
}

// As RevisionConfig::plan() makes them.
Result<void> check_instance(const StartPlan& plan, const Settings& settings) {
  if (plan.cwd != "/app") return forbid("another working directory than /app");
  if (plan.hostname != "i-" + plan.id.substr(14)) return forbid("a host name of its choice");
  if (plan.network != Network::kInternet) return forbid("another network");
  if (plan.label.empty()) return forbid("an instance of no revision");
  TRY(check_names(plan.env));
  return check_limits(plan.limits, kInstanceCaps, settings.max_memory_bytes, settings.max_scratch_bytes);
}

}  // namespace

Result<void> check_plan(Role role, const StartPlan& plan, const Settings& settings) {
  if (plan.spare) return fail(ErrorCode::kForbidden, "spares are started by starter alone");
  const bool job = plan.kind == PlanKind::kJob;
  if (role == Role::kRoot) return {};
  if (job != (role == Role::kControl)) return fail(ErrorCode::kForbidden, "this client may not start that kind of container");
  if (!job) return check_instance(plan, settings);
  if (plan.has_secrets) return forbid("a job with secrets");
  if (!plan.egress.empty()) return forbid("a job with an egress policy");
  return check_limits(plan.limits, kJobCaps, settings.max_job_memory_bytes, 0);
}

Result<void> check_policies(Role role) {
  if (role == Role::kControl) return forbid("slots");
  return {};
}

Result<void> check_spares(Role role, const std::vector<SpareOrder>& orders, const Settings& settings) {
  if (role == Role::kControl) return forbid("spares");
  if (role == Role::kRoot) return {};
  for (const SpareOrder& order : orders) {
    if (order.plan.cwd != "/app") return forbid("another working directory than /app");
    TRY(check_limits(order.plan.limits, kInstanceCaps, settings.max_memory_bytes, settings.max_scratch_bytes));
  }
  return {};
}

}  // namespace skerry::sandbox
