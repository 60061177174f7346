// starter's spares: containers whose runtime is up and waits for a function. See starter.h; what the program of one does is in shims/README.md.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/id.h"
#include "os/file.h"
#include "sandboxd/sealed.h"
#include "sandboxd/starter.h"
#include "sandboxd/state_file.h"

namespace skerry::sandbox {
namespace {

constexpr std::string_view kWaiting = "{\"phase\":\"waiting\"}\n";
constexpr size_t kMaxAssignmentBytes = 1U << 20;  // the most that a pipe of an ordinary user holds

// Equal for all plans that may use the same spares.
std::string kind_of(const StartPlan& plan) { return spare_of(plan, {}).encode(); }

// What the program reads: whether secrets follow, the environment, an empty entry, then (keeper's) the secrets.
std::string assignment_text(const StartPlan& plan) {
  std::string text(1, plan.has_secrets ? 'S' : 'N');
  for (const std::string& entry : plan.env) text.append(entry).push_back('\0');
  text.push_back('\0');
  return text;
}

}  // namespace

size_t Starter::spares() const {
  size_t count = 0;
  for (const auto& [key, kind] : spare_kinds_) count += kind.ready.size() + (kind.starting.empty() ? 0 : 1);
  return count;
}

Result<void> Starter::keep_spares(const Client& client, const std::vector<UniqueFd>& fds) {
  if (fds.size() != 1) return fail(ErrorCode::kProtocol, "an order of spares with {} descriptors", fds.size());
  TRY_ASSIGN(const std::string bytes, read_sealed(fds[0].get(), kMaxSpareList), "order of spares");
  TRY_ASSIGN(auto orders, decode_spares(bytes));
  TRY(check_spares(client.role, orders, settings_));
  for (auto& [key, kind] : spare_kinds_) kind.wanted = 0;
  for (SpareOrder& order : orders) {
    SpareKind& kind = spare_kinds_[kind_of(order.plan)];
    kind.plan = std::move(order.plan);
    kind.policy = kind.plan.egress.encode();
    kind.wanted = order.count;
  }
  std::vector<std::string> unwanted;
  for (auto& [key, kind] : spare_kinds_) {
    while (kind.ready.size() > kind.wanted) {
      unwanted.push_back(kind.ready.front());
      kind.ready.pop_front();
    }
    if (kind.wanted == 0 && !kind.starting.empty()) unwanted.push_back(kind.starting);
  }
  for (const std::string& id : unwanted) drop_spare(id);
  std::erase_if(spare_kinds_, [](const auto& entry) { return entry.second.wanted == 0; });
  return {};
}

void Starter::drop_spare(const std::string& id) {
  if (const auto it = containers_.find(id); it != containers_.end()) kill_container(it->second);
}

// One at a time, and never while a start waits: a spare costs a runtime's whole start-up.
void Starter::make_spares() {
  for (auto& [key, kind] : spare_kinds_) {
    if (kind.starting.empty()) continue;
    const auto it = containers_.find(kind.starting);
    if (it == containers_.end()) {
      kind.starting.clear();
      continue;
    }
    if (now() - it->second.launched_at > kSpareTime) kill_container(it->second);
    return;
  }
  if (!waiting_.empty() || spares() >= kMaxSpares) return;
  for (auto& [key, kind] : spare_kinds_) {
    if (kind.ready.size() >= kind.wanted || now() < kind.not_before || containers_.size() >= max_containers_) continue;
    const auto pool = pools_.find(kind.policy);
    if (pool == pools_.end() || pool->second.ready.empty()) continue;
    UniqueFd disk;
    if (const Limits& limits = kind.plan.limits; limits.scratch == Scratch::kDisk && !(disk = scratch_.take(limits.scratch_bytes))) {
      scratch_.want(limits.scratch_bytes, 1);
      continue;
    }
    auto slot = take_slot(kind.policy);
    if (!slot) continue;
    if (auto made = make_spare(kind, key, std::move(*slot), std::move(disk)); !made) {
      logger_.warn("a spare cannot be made", {{"error", made.error().message()}});
      kind.not_before = now() + kind.pause;
      kind.pause = std::min(2 * kind.pause, kLastSparePause);
    }
    return;
  }
}

std::chrono::milliseconds Starter::spares_rest() const {
  std::chrono::milliseconds rest = std::chrono::seconds(1);
  for (const auto& [key, kind] : spare_kinds_)
    if (kind.ready.size() < kind.wanted && now() < kind.not_before) rest = std::min(rest, std::chrono::ceil<std::chrono::milliseconds>(kind.not_before - now()));
  return rest;
}

Result<void> Starter::make_spare(SpareKind& kind, const std::string& key, Slot slot, UniqueFd disk) {
  kind.plan.id = new_ulid();
  Waiting start{-1, 0, kind.plan, {}, now(), std::move(disk)};
  TRY_ASSIGN(UniqueFd plan, make_sealed_memfd("spare", kind.plan.encode()));
  start.fds.push_back(std::move(plan));
  Container container;
  container.id = kind.plan.id;
  container.transport = kind.plan.transport;
  container.index = slot.index;
  container.address = address_of(slot, settings_);
  container.spare_kind = key;
  const char* phase = "slot";
  auto made = make_container_in(std::move(slot), start, container, phase);
  mounts_.let_go();
  if (!made) {
    tell_reaper(container.index, container.id);
    return pass(std::move(made).error(), phase);
  }
  kind.starting = container.id;
  const std::string id = container.id;
  Container& kept = containers_.emplace(id, std::move(container)).first->second;
  watch(kept);
  return poller_.add(kept.status.get(), [this, id] { on_spare_status(id); });
}

void Starter::on_spare_status(const std::string& id) {
  const auto it = containers_.find(id);
  if (it == containers_.end()) return;
  Container& c = it->second;
  char line[kWaiting.size()];
  const ssize_t n = ::read(c.status.get(), line, sizeof line);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  poller_.remove(c.status.get());
  // Its report came first: the program wrote this line after it was executed.
  if (!c.executed) on_report(id);
  const auto kind = spare_kinds_.find(c.spare_kind);
  const bool waits = n == static_cast<ssize_t>(sizeof line) && std::string_view(line, sizeof line) == kWaiting && c.executed;
  if (!waits || kind == spare_kinds_.end()) return kill_container(c);
  kind->second.starting.clear();
  kind->second.pause = kFirstSparePause;
  kind->second.ready.push_back(id);
}

void Starter::on_spare_exit(Container& c) {
  const auto found = spare_kinds_.find(c.spare_kind);
  if (found == spare_kinds_.end()) return;
  SpareKind& kind = found->second;
  std::erase(kind.ready, c.id);
  if (kind.starting != c.id) return;
  kind.starting.clear();
  kind.not_before = now() + kind.pause;
  logger_.warn("a spare did not come up", {{"id", c.id}, {"program", kind.plan.argv[0]}, {"again_s", std::chrono::duration_cast<std::chrono::seconds>(kind.pause).count()}});
  kind.pause = std::min(2 * kind.pause, kLastSparePause);
}

bool Starter::start_from_spare(Waiting& start) {
  if (start.plan.runtime_layers == 0) return false;
  const auto kind = spare_kinds_.find(kind_of(start.plan));
  if (kind == spare_kinds_.end() || kind->second.ready.empty()) return false;
  auto node = containers_.extract(kind->second.ready.front());
  kind->second.ready.pop_front();
  if (node.empty()) return false;
  kind->second.not_before = std::max(kind->second.not_before, now() + kSpareRest);
  Container& c = node.mapped();
  for (const UniqueFd* fd : {&c.process.report, &c.memory, &c.process.pidfd}) poller_.remove(fd->get());
  const std::string spare_id = c.id;
  auto became = become(start, c);
  mounts_.let_go();
  if (!became) {
    logger_.warn("a spare could not become an instance", {{"id", c.id}, {"error", became.error().message()}});
    remove_files(spare_id);
    kill_container(c);
    c.retry = std::move(start);
    boot_instead(c);
    return true;
  }
  c.retry = std::move(start);
  node.key() = c.id;
  watch(containers_.insert(std::move(node)).position->second);
  return true;
}

void Starter::boot_instead(Container& c) {
  remove_files(c.retry->plan.id);
  tell_reaper(c.index, {});
  c.retry->plan.runtime_layers = 0;  // not from a spare again
  if (!c.prestarted) ++c.retry->ended;
  waiting_.push_front(std::move(*c.retry));
  c.retry.reset();
  serve_waiting();
}

// Here, and not by reaper: another container may have this id a moment later.
void Starter::remove_files(const std::string& id) {
  for (const char* suffix : {".sock", ".state"}) ::unlink((settings_.instances_dir() + "/" + id + suffix).c_str());
}

std::string Starter::socket_path(const std::string& id) const { return fmt::format("{}/{}.sock", settings_.instances_dir(), id); }

Result<void> Starter::become(Waiting& start, Container& c) {
  const StartPlan& plan = start.plan;
  const TimePoint begin = now();
  if (::rename(socket_path(c.id).c_str(), socket_path(plan.id).c_str()) != 0) return fail_errno("name the socket of {}", plan.id);
  c.id = plan.id;
  c.label = plan.label;
  c.prestarted = true;
  c.request = start.request;
  c.client = start.client;
  c.slot_us = 0;
  // What the pipe has no room for would block this process, or come too late.
  const std::string text = assignment_text(plan);
  if (text.size() > kMaxAssignmentBytes || ::fcntl(c.assignment.get(), F_SETPIPE_SZ, static_cast<int>(std::max<size_t>(text.size(), 65536))) < 0)
    return fail(ErrorCode::kTooLarge, "an environment of {} bytes", text.size());
  TRY(write_all(c.assignment.get(), text), "environment");
  if (plan.has_secrets) TRY(deliver_secrets(c, start.fds[1].get(), c.assignment.get()));
  Assignment assignment;
  assignment.hostname = plan.hostname;
  TRY_ASSIGN(assignment.trees, mounts_.build_parts(plan, c.slot, std::move(c.top)));
  c.mount_us = us_between(begin, now());
  c.launched_at = now();
  assignment.done = std::move(c.assignment);
  TRY(assign(c.slot.seat.get(), assignment));
  c.slot = {};
  c.spare_kind.clear();
  if (auto written = write_state({c.id, c.index, c.process.pid, c.transport, c.label}, settings_); !written)
    logger_.error("an instance will not outlive starter", {{"id", c.id}, {"error", written.error().message()}});
  return {};
}

}  // namespace skerry::sandbox
