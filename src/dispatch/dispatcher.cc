#include "dispatch/dispatcher.h"

#include <algorithm>
#include <cassert>

namespace skerry {

enum class InstanceState : uint8_t { kStarting, kReady, kStopping };

struct Dispatcher::Instance {
  InstanceId id;
  Revision* revision = nullptr;
  InstanceState state = InstanceState::kStarting;
  StartMode mode = StartMode::kBoot;
  bool used = false;
  int64_t busy = 0;  // requests in it now
  int64_t started_ms = 0;
  TimePoint asked_at{};
  StartPhases phases;
  TimePoint idle_since{};
  bool frozen = false;  // only while it is ready and nothing is in it
  std::optional<autoscaler::CpuSample> quiet_since;
};

struct Dispatcher::Revision {
  FunctionId function;
  RevisionConfig config;
  std::vector<Instance*> free;  // ready, with a free place; the most recently used last
  std::list<Wait*> queue;
  int64_t starting = 0;
  int64_t live = 0;  // ready
  int64_t stopping = 0;
  int failures = 0;  // rounds of starts in a row
  TimePoint no_start_before{};
  Error last_failure{ErrorCode::kFunctionFailed, ""};
  bool retired = false;
};

Dispatcher::Dispatcher(Loop& loop, Driver& driver, size_t max_instances) : loop_(loop), driver_(driver), max_instances_(max_instances) {}
Dispatcher::~Dispatcher() = default;

Dispatcher::Revision* Dispatcher::find(const RevisionId& revision) {
  const auto it = revisions_.find(revision);
  return it == revisions_.end() ? nullptr : it->second.get();
}

bool Dispatcher::knows(const RevisionId& revision) const {
  const auto it = revisions_.find(revision);
  return it != revisions_.end() && !it->second->retired;
}

size_t Dispatcher::waiting(const RevisionId& revision) const {
  const auto it = revisions_.find(revision);
  return it == revisions_.end() ? 0 : it->second->queue.size();
}

void Dispatcher::add_revision(const FunctionId& function, const RevisionConfig& config) {
  auto& place = revisions_[config.id];
  if (!place) place = std::make_unique<Revision>();
  place->function = function;
  place->config = config;
  place->retired = false;
  start_wanted(*place);
}

void Dispatcher::retire_revision(const RevisionId& id) {
  Revision* revision = find(id);
  if (revision == nullptr) return;
  revision->retired = true;
  refuse_all(*revision, Error(ErrorCode::kUnavailable, "the revision was taken out of traffic"));
  for (const auto& [instance_id, instance] : instances_) {
    if (instance->revision != revision || instance->state == InstanceState::kStopping || instance->busy > 0) continue;
    stop_instance(*instance, StopKind::kDrain);
  }
  forget_if_done(*revision);
}

void Dispatcher::forget_if_done(Revision& revision) {
  if (revision.retired && revision.live == 0 && revision.starting == 0 && revision.stopping == 0 && revision.queue.empty())
    revisions_.erase(RevisionId(revision.config.id));
}

autoscaler::Load Dispatcher::load_of(const Revision& revision) const {
  return {.waiting = static_cast<int64_t>(revision.queue.size()),
          .starting = revision.starting,
          .live = revision.live,
          .idle = static_cast<int64_t>(revision.free.size()),
          .concurrency = revision.config.concurrency,
          .min_instances = revision.retired ? 0 : revision.config.min_instances,
          .max_instances = revision.config.max_instances,
          .no_start_before = revision.no_start_before};
}

// Whether another instance fits; stops the longest idle of another revision where it does not.
bool Dispatcher::make_room() {
  if (instances_.size() < max_instances_) return true;
  Instance* oldest = nullptr;
  size_t stopping = 0;
  for (const auto& [id, instance] : instances_) {
    if (instance->state == InstanceState::kStopping) ++stopping;
    if (instance->state != InstanceState::kReady || instance->busy > 0) continue;
    if (oldest == nullptr || instance->idle_since < oldest->idle_since) oldest = instance.get();
  }
  // Each place that is being freed serves one waiting start; the start is made when the instance is gone (on_exited).
  if (stopping == 0 && oldest != nullptr) stop_instance(*oldest, StopKind::kDrain);
  return false;
}

void Dispatcher::start_wanted(Revision& revision) {
  if (revision.retired) return;
  for (int64_t n = autoscaler::starts_wanted(load_of(revision), loop_.now()); n > 0; --n) {
    if (!make_room()) return;
    auto instance = std::make_unique<Instance>();
    instance->id = InstanceId(new_ulid());
    instance->revision = &revision;
    instance->started_ms = loop_.clock().wall_ms();
    instance->asked_at = loop_.now();
    ++revision.starting;
    const InstanceId id = instance->id;
    instances_.emplace(id, std::move(instance));
    driver_.start(id, revision.function, revision.config);
  }
}

struct Dispatcher::Dequeue {
  Dispatcher& dispatcher;
  RevisionId revision;
  Wait& wait;
  ~Dequeue() {
    if (wait.granted_ || wait.refused_) return;  // taken off the queue already
    if (Revision* still = dispatcher.find(revision); still != nullptr) {
      still->queue.remove(&wait);
      dispatcher.forget_if_done(*still);
    }
  }
};

Task<Result<Lease>> Dispatcher::lease(RevisionId id, TimePoint deadline, Wait& wait) {
  Revision* revision = find(id);
  if (revision == nullptr || revision->retired) co_return fail(ErrorCode::kNotFound, "revision `{}` is not in traffic here", id.str());
  wait.since_ = loop_.now();
  if (revision->queue.empty()) {
    Way way;
    if (Instance* instance = running_free(*revision, way); instance != nullptr) {
      take_place(*instance, wait, way);
      co_return wait.lease_;
    }
  }
  if (revision->live == 0 && revision->starting == 0 && loop_.now() < revision->no_start_before)
    co_return std::unexpected(Error(revision->last_failure));
  if (revision->queue.size() >= kMaxQueue) co_return fail(ErrorCode::kTooMany, "{} requests wait already", revision->queue.size());
  revision->queue.push_back(&wait);
  // The caller's frame may be destroyed while it waits: the queue must not keep a pointer into it.
  const Dequeue dequeue{*this, id, wait};
  start_wanted(*revision);
  (void)co_await wait.event_.wait(deadline);
  if (wait.granted_) {
    // A place granted in the same turn as a cancel or a timeout is served; the caller gives it back if it does not want it.
    co_return wait.lease_;
  }
  if (wait.refused_) co_return std::unexpected(Error(*wait.refused_));
  if (wait.cancelled_) co_return fail(ErrorCode::kCancelled, "the caller went away");
  co_return std::unexpected(why_in_vain(id));
}

// Why a request that waited to its deadline got no place.
Error Dispatcher::why_in_vain(const RevisionId& id) {
  const Revision* revision = find(id);
  if (revision != nullptr && revision->live == 0 && revision->starting == 0 && instances_.size() >= max_instances_)
    return Error(ErrorCode::kNoCapacity, fmt::format("all {} containers of this location are in use, and none became free in time", max_instances_));
  return Error(ErrorCode::kTimeout, "no instance was free or ready in time");
}

// The most recently used instance with a free place, thawed where it stood still (`way` says so); null where there is none. One that does not thaw is
// none: its container is gone, or not ours any more.
Dispatcher::Instance* Dispatcher::running_free(Revision& revision, Way& way) {
  while (!revision.free.empty()) {
    Instance& instance = *revision.free.back();
    if (!instance.frozen) {
      way = {};
      return &instance;
    }
    const TimePoint begin = loop_.now();
    instance.frozen = false;
    if (driver_.thaw(instance.id)) {
      way = {StartMode::kThaw, loop_.now() - begin};
      return &instance;
    }
    stop_instance(instance, StopKind::kKill);
  }
  return nullptr;
}

void Dispatcher::take_place(Instance& instance, Wait& wait, const Way& way) {
  Revision& revision = *instance.revision;
  assert(instance.state == InstanceState::kReady && !instance.frozen && instance.busy < revision.config.concurrency);
  instance.used = true;
  instance.quiet_since.reset();
  const auto place = std::find(revision.free.begin(), revision.free.end(), &instance);
  if (++instance.busy >= revision.config.concurrency && place != revision.free.end()) revision.free.erase(place);
  wait.granted_ = true;
  const bool cold = way.mode != StartMode::kWarm && way.mode != StartMode::kThaw;
  const Duration queued = loop_.now() - wait.since_;
  wait.lease_ = {instance.id, revision.config.id, way.mode, queued, std::min(way.start, queued), cold ? instance.phases : StartPhases{}};
}

void Dispatcher::grant_waiting(Revision& revision) {
  while (!revision.queue.empty()) {
    Way way;
    Instance* instance = running_free(revision, way);
    if (instance == nullptr) return;
    if (!instance->used) way = {instance->mode, loop_.now() - instance->asked_at};
    Wait* wait = revision.queue.front();
    revision.queue.pop_front();
    take_place(*instance, *wait, way);
    wait->event_.set();
  }
}

void Dispatcher::release(const Lease& lease, LeaseEnd end) {
  const auto it = instances_.find(lease.instance);
  if (it == instances_.end()) return;  // it exited meanwhile
  Instance& instance = *it->second;
  Revision& revision = *instance.revision;
  assert(instance.busy > 0);
  const bool was_full = instance.busy-- >= revision.config.concurrency;
  if (instance.state != InstanceState::kReady) return;
  if (end == LeaseEnd::kBroken) {
    stop_instance(instance, StopKind::kKill);
    start_wanted(revision);
    return;
  }
  if (instance.busy == 0) instance.idle_since = loop_.now();
  if (revision.retired) {
    if (instance.busy == 0) stop_instance(instance, StopKind::kDrain);
    return;
  }
  if (!was_full) std::erase(revision.free, &instance);
  revision.free.push_back(&instance);
  grant_waiting(revision);
}

void Dispatcher::refuse_all(Revision& revision, const Error& error) {
  for (Wait* wait : revision.queue) {
    wait->refused_ = std::make_unique<Error>(error);
    wait->event_.set();
  }
  revision.queue.clear();
}

void Dispatcher::stop_instance(Instance& instance, StopKind kind) {
  Revision& revision = *instance.revision;
  if (instance.state == InstanceState::kStarting) --revision.starting;
  if (instance.state == InstanceState::kReady) --revision.live;
  std::erase(revision.free, &instance);
  instance.state = InstanceState::kStopping;
  instance.frozen = false;  // stop() thaws
  ++revision.stopping;
  driver_.stop(instance.id, kind);
}

void Dispatcher::on_ready(const InstanceId& id, StartMode mode, const StartPhases& phases) {
  const auto it = instances_.find(id);
  if (it == instances_.end() || it->second->state != InstanceState::kStarting) return;
  Instance& instance = *it->second;
  Revision& revision = *instance.revision;
  --revision.starting;
  ++revision.live;
  revision.failures = 0;
  instance.state = InstanceState::kReady;
  instance.mode = mode;
  instance.phases = phases;
  instance.idle_since = loop_.now();
  if (revision.retired) {
    stop_instance(instance, StopKind::kDrain);
    return;
  }
  revision.free.push_back(&instance);
  grant_waiting(revision);
}

void Dispatcher::on_start_failed(const InstanceId& id, std::string_view phase, std::string_view message) {
  const auto it = instances_.find(id);
  if (it == instances_.end()) return;
  Revision& revision = *it->second->revision;
  const bool was_starting = it->second->state == InstanceState::kStarting;
  if (was_starting) --revision.starting;
  else --revision.stopping;
  instances_.erase(it);
  if (was_starting) {
    // Starts that were under way together fail together, of one cause: twenty of them must not keep a function away for half a minute.
    if (loop_.now() >= revision.no_start_before) {
      ++revision.failures;
      revision.no_start_before = loop_.now() + autoscaler::start_backoff(revision.failures);
    }
    const ErrorCode code = phase == kScratchPhase ? ErrorCode::kNoCapacity : ErrorCode::kFunctionFailed;
    revision.last_failure = Error(code, fmt::format("{}: {}", phase, message));
    // Nobody waits for a start that will not come: with no instance left, every waiter hears why.
    if (revision.live == 0 && revision.starting == 0) refuse_all(revision, revision.last_failure);
  }
  forget_if_done(revision);
}

void Dispatcher::on_exited(const InstanceId& id) {
  const auto it = instances_.find(id);
  if (it == instances_.end()) return;
  Revision& revision = *it->second->revision;
  switch (it->second->state) {
    case InstanceState::kStarting: --revision.starting; break;
    case InstanceState::kReady: --revision.live; break;
    case InstanceState::kStopping: --revision.stopping; break;
  }
  std::erase(revision.free, it->second.get());
  const bool was_full = instances_.size() >= max_instances_;
  instances_.erase(it);
  start_wanted(revision);
  if (was_full)  // others may have waited for the room
    for (const auto& [other_id, other] : revisions_) start_wanted(*other);
  forget_if_done(revision);
}

bool Dispatcher::adopt(const InstanceId& id, const RevisionId& revision_id) {
  Revision* revision = find(revision_id);
  if (revision == nullptr || revision->retired || instances_.contains(id)) return false;
  auto instance = std::make_unique<Instance>();
  instance->id = id;
  instance->revision = revision;
  instance->state = InstanceState::kReady;
  instance->used = true;
  instance->mode = StartMode::kWarm;
  instance->started_ms = loop_.clock().wall_ms();
  instance->idle_since = loop_.now();
  ++revision->live;
  revision->free.push_back(instance.get());
  instances_.emplace(id, std::move(instance));
  grant_waiting(*revision);
  return true;
}

void Dispatcher::tick() {
  const TimePoint now = loop_.now();
  std::vector<Instance*> done;
  for (const auto& [id, instance] : instances_) {
    if (instance->state != InstanceState::kReady || instance->busy > 0) continue;
    const Revision& revision = *instance->revision;
    if (autoscaler::may_retire(load_of(revision), instance->idle_since, std::chrono::milliseconds(revision.config.idle_timeout_ms), now))
      done.push_back(instance.get());
  }
  for (Instance* instance : done) {
    // Asked again: each one that goes changes the load.
    const Revision& revision = *instance->revision;
    if (autoscaler::may_retire(load_of(revision), instance->idle_since, std::chrono::milliseconds(revision.config.idle_timeout_ms), now))
      stop_instance(*instance, StopKind::kDrain);
  }
  freeze_quiet(now);
  for (const auto& [id, revision] : revisions_) start_wanted(*revision);
}

void Dispatcher::freeze_quiet(TimePoint now) {
  size_t frozen = 0;
  for (const auto& [id, instance] : instances_) {
    if (instance->state != InstanceState::kReady || instance->frozen || instance->busy > 0 || frozen >= kMaxFreezes) continue;
    const RevisionConfig& config = instance->revision->config;
    autoscaler::Idleness idleness{.in_it = instance->busy, .background = config.background, .now = std::nullopt, .since = instance->quiet_since};
    if (!config.background)
      if (const auto used_us = driver_.cpu_time_us(id)) idleness.now = autoscaler::CpuSample{now, *used_us};
    const autoscaler::Rest rest = autoscaler::decide_rest(idleness);
    instance->quiet_since = rest.since;
    if (!rest.freeze) continue;
    ++frozen;
    if (driver_.freeze(id)) instance->frozen = true;
    else instance->quiet_since.reset();  // a second later again, not at every tick
  }
}

std::vector<Dispatcher::InstanceView> Dispatcher::instances() const {
  std::vector<InstanceView> out;
  for (const auto& [id, instance] : instances_) {
    const std::string_view state = instance->state == InstanceState::kStarting   ? "starting"
                                   : instance->state == InstanceState::kStopping ? "stopping"
                                   : instance->busy > 0                          ? "busy"
                                   : instance->frozen                            ? "frozen"
                                                                                 : "idle";
    out.push_back({id, instance->revision->function, instance->revision->config.id, state, instance->mode, instance->started_ms, instance->phases});
  }
  return out;
}

}  // namespace skerry
