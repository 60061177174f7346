// Dispatcher: which instance serves which request. Exact accounting of places; never more than `concurrency` requests in an instance.
//
// Owns, for every revision, its instances' places, its bounded queue and its start decisions. Knows no sockets and no processes: it asks a
// Driver to start and stop, and hears through DriverEvents what became of it. Single-threaded; time comes from the loop's clock.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "autoscaler/decide.h"
#include "autoscaler/freeze.h"
#include "base/result.h"
#include "contract/driver.h"
#include "contract/function_config.h"
#include "contract/ids.h"
#include "loop/loop.h"

namespace skerry {

class Dispatcher final : public DriverEvents {
 public:
  // A queue longer than this only turns overload into timeouts.
  static constexpr size_t kMaxQueue = 1000;
  // Instances of all functions together; a new one beyond it takes the place of the longest idle.
  static constexpr size_t kDefaultMaxInstances = 1000;
  // Frozen in one tick(): each takes 0.1 ms of the loop, and none is urgent.
  static constexpr size_t kMaxFreezes = 32;

  Dispatcher(Loop& loop, Driver& driver, size_t max_instances = kDefaultMaxInstances);
  ~Dispatcher() override;
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // Makes a revision known, or replaces its settings (limits of places, not its code, which is immutable).
  void add_revision(const FunctionId& function, const RevisionConfig& config);
  // No new requests: idle instances stop now, busy ones when their request is done; waiters are refused with kUnavailable.
  void retire_revision(const RevisionId& revision);
  [[nodiscard]] bool knows(const RevisionId& revision) const;

  // A place in the queue that can be given up. Lives in the caller's frame until lease() returned.
  class Wait {
   public:
    explicit Wait(Loop& loop) : event_(loop) {}
    // The caller went away: lease() returns kCancelled.
    void cancel() {
      cancelled_ = true;
      event_.set();
    }

   private:
    friend class Dispatcher;
    Event event_;
    bool cancelled_ = false;
    bool granted_ = false;
    Lease lease_;
    TimePoint since_{};
    std::unique_ptr<Error> refused_;
  };

  // kNotFound for an unknown revision, kTooMany when the queue is full, kTimeout (kNoCapacity where there was no room for an instance), kCancelled,
  // kFunctionFailed when the start failed (message: "phase: why"), kUnavailable when the revision is taken out of traffic.
  Task<Result<Lease>> lease(RevisionId revision, TimePoint deadline, Wait& wait);
  // Gives the place back. kBroken: the instance is killed and takes no more requests.
  void release(const Lease& lease, LeaseEnd end);

  void on_ready(const InstanceId& instance, StartMode mode, const StartPhases& phases) override;
  void on_start_failed(const InstanceId& instance, std::string_view phase, std::string_view message) override;
  void on_exited(const InstanceId& instance) override;
  // An instance that lived before this process: joins the idle set. False (stop it) when its revision is not known or retired.
  bool adopt(const InstanceId& instance, const RevisionId& revision);

  // Retires idle instances, freezes those that do nothing and makes delayed starts; call four times a second.
  void tick();
  struct InstanceView {
    InstanceId id;
    FunctionId function;
    RevisionId revision;
    std::string_view state;
    StartMode mode;
    int64_t started_ms;
    StartPhases phases;
  };
  [[nodiscard]] std::vector<InstanceView> instances() const;
  [[nodiscard]] size_t waiting(const RevisionId& revision) const;

 private:
  struct Revision;
  struct Instance;
  struct Dequeue;

  Revision* find(const RevisionId& revision);
  [[nodiscard]] autoscaler::Load load_of(const Revision& revision) const;
  void start_wanted(Revision& revision);
  bool make_room();
  void grant_waiting(Revision& revision);
  [[nodiscard]] Error why_in_vain(const RevisionId& revision);
  // How the instance is come by: `start` is what it took beyond the place itself.
  struct Way {
    StartMode mode = StartMode::kWarm;
    Duration start{};
  };
  Instance* running_free(Revision& revision, Way& way);
  void take_place(Instance& instance, Wait& wait, const Way& way);
  void freeze_quiet(TimePoint now);
  void refuse_all(Revision& revision, const Error& error);
  void stop_instance(Instance& instance, StopKind kind);
  void forget_if_done(Revision& revision);

  Loop& loop_;
  Driver& driver_;
  size_t max_instances_;
  std::unordered_map<RevisionId, std::unique_ptr<Revision>> revisions_;
  std::unordered_map<InstanceId, std::unique_ptr<Instance>> instances_;
};

}  // namespace skerry
