// A location in virtual time: the real dispatcher and autoscaler, requests and rollouts from a seeded dice,
// and a driver whose starts take their time, fail and get lost, and whose instances die. After every event
// what must always hold is looked at; the first breach ends the run with its seed, its time and its words.
// `dispatch_sim SEED SECONDS` runs one.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "dispatch/dispatcher.h"
#include "loop/scope.h"

namespace skerry {
namespace {

using namespace std::chrono_literals;

constexpr size_t kMaxInstances = 12;  // of the location: fewer than its functions may want together
constexpr int kFunctions = 4;
constexpr Duration kTimeout = 5s;
constexpr Duration kIdle = 3s;

// How a start is told, whatever else is told with it.
template <typename Events>
void tell_ready(Events& events, const InstanceId& id) {
  if constexpr (requires { events.on_ready(id, StartMode::kBoot); })
    events.on_ready(id, StartMode::kBoot);
  else
    events.on_ready(id, StartMode::kBoot, {});
}

struct Request {
  explicit Request(Loop& loop) : wait(loop) {}
  Dispatcher::Wait wait;
  RevisionId revision;
  std::unique_ptr<Result<Lease>> got;
  bool seen = false;
};

Task<void> ask(Dispatcher& dispatcher, TimePoint deadline, Request& request) {
  request.got =
      std::make_unique<Result<Lease>>(co_await dispatcher.lease(request.revision, deadline, request.wait));
}

class Location final : public Driver {
 public:
  explicit Location(uint64_t seed) : dice_(seed) {}

  bool run(Duration length) {
    for (int f = 0; f < kFunctions; ++f) roll_out(f);
    end_ = clock_.now() + length;
    for (int f = 0; f < kFunctions; ++f) arrive(f);
    at(1s, [this] { tick(); });
    at(4s, [this] { roll_out_sometimes(); });
    while (!events_.empty() && wrong_.empty()) {
      const Event event = events_.top();
      events_.pop();
      clock_.advance(event.when - clock_.now());
      event.what();
      loop_->run_ready();
      look();
    }
    if (wrong_.empty() && (answered_ != asked_)) wrong("{} requests, {} answers", asked_, answered_);
    if (wrong_.empty() && !dispatcher_.instances().empty())
      wrong("{} instances are left though nobody asks", dispatcher_.instances().size());
    if (wrong_.empty() && alive() != 0) wrong("the driver has {} instances that nobody stopped", alive());
    return wrong_.empty();
  }
  [[nodiscard]] std::string report() const {
    std::string outcomes;
    for (const auto& [name, count] : outcomes_) outcomes += fmt::format(" {}={}", name, count);
    return wrong_.empty() ? fmt::format("asked={} started={}{}", asked_, started_, outcomes) : wrong_;
  }

 private:
  struct Event {
    TimePoint when;
    uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return when != other.when ? when > other.when : order > other.order;
    }
  };
  struct Instance {
    RevisionId revision;
    bool ready = false, stopping = false, gone = false;
    int64_t leases = 0;
  };

  template <typename... Args>
  void wrong(fmt::format_string<Args...> words, Args&&... args) {
    if (wrong_.empty())
      wrong_ =
          fmt::format("at {} ms: ",
                      std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now().time_since_epoch())
                          .count()) +
          fmt::format(words, std::forward<Args>(args)...);
  }
  void at(Duration later, std::function<void()> what) {
    events_.push({clock_.now() + later, ++order_, std::move(what)});
  }
  Duration between(int64_t low_ms, int64_t high_ms) {
    return std::chrono::milliseconds(
        low_ms + static_cast<int64_t>(dice_() % static_cast<uint64_t>(high_ms - low_ms + 1)));
  }
  bool one_in(uint64_t n) { return dice_() % n == 0; }

  // ---- the driver

  void start(const InstanceId& id, const FunctionId&, const RevisionConfig& revision) override {
    if (instances_.contains(id)) return wrong("{} is started twice", id.str());
    ++started_;
    instances_[id].revision = RevisionId(revision.id);
    at(one_in(10) ? between(300, 8000) : between(1, 60), [this, id] {
      Instance* const known = find(id);
      if (known == nullptr || known->stopping || known->gone) return;
      Instance& i = *known;
      if (one_in(15))
        i.gone = true, dispatcher_.on_start_failed(id, "code", "as the dice fell");
      else if (one_in(25))
        i.gone = true, dispatcher_.on_exited(id);  // lost on the way
      else
        i.ready = true, tell_ready(dispatcher_, id);
    });
  }
  void stop(const InstanceId& id, StopKind kind) override {
    Instance& i = instances_.at(id);
    if (i.stopping || i.gone) return wrong("{} is stopped again", id.str());
    if (kind == StopKind::kDrain && i.leases > 0) wrong("an instance with {} requests is drained", i.leases);
    i.stopping = true;
    at(between(1, 300), [this, id] { exit(id); });
  }
  void exit(const InstanceId& id) {
    Instance* const known = find(id);
    if (known == nullptr || std::exchange(known->gone, true)) return;
    dispatcher_.on_exited(id);
  }
  Instance* find(const InstanceId& id) {
    const auto it = instances_.find(id);
    return it == instances_.end() ? nullptr : &it->second;
  }

  // ---- what happens

  void roll_out(int function) {
    RevisionConfig config;
    config.id = RevisionId(fmt::format("f{}-{}", function, ++revisions_));
    config.concurrency = 1 + function % 3;
    config.max_instances = 2 + function * 3;
    config.min_instances = 0;
    config.idle_timeout_ms = std::chrono::duration_cast<std::chrono::milliseconds>(kIdle).count();
    configs_[config.id] = config;
    dispatcher_.add_revision(FunctionId(fmt::format("f{}", function)), config);
    const RevisionId before = std::exchange(current_[function], config.id);
    if (!before.empty()) dispatcher_.retire_revision(before);
  }
  void roll_out_sometimes() {
    if (clock_.now() >= end_) return;
    roll_out(static_cast<int>(dice_() % kFunctions));
    at(between(500, 8000), [this] { roll_out_sometimes(); });
  }
  void tick() {
    dispatcher_.tick();
    if (clock_.now() < end_ + kTimeout + kIdle + 30s) at(1s, [this] { tick(); });
  }
  void arrive(int function) {
    if (clock_.now() >= end_) return;
    // Bursts, a steady trickle, and silence long enough for everything to be at zero.
    const int64_t mood =
        (std::chrono::duration_cast<std::chrono::seconds>(clock_.now().time_since_epoch()).count() / 7 +
         function) %
        4;
    const int many = mood == 0 ? 1 + static_cast<int>(dice_() % 40) : 1;
    for (int n = 0; n < many; ++n) request(function);
    at(mood == 3   ? between(2000, 6000)
       : mood == 0 ? between(50, 400)
                   : between(5, 80),
       [this, function] { arrive(function); });
  }
  void request(int function) {
    requests_.push_back(std::make_unique<Request>(*loop_));
    Request& r = *requests_.back();
    r.revision = current_[function];
    ++asked_;
    open_.push_back(&r);
    scope_.spawn(ask(dispatcher_, clock_.now() + kTimeout, r));
    at(kTimeout, [this, &r] {
      loop_->run_ready();
      if (!r.got) wrong("a request has no answer at its deadline");
    });
    if (one_in(12)) at(between(0, 3000), [&r] { r.wait.cancel(); });
  }
  void serve(Request& r) {
    const Lease lease = **r.got;
    Instance& i = instances_.at(lease.instance);
    if (!i.ready || i.stopping || i.gone) wrong("a place in an instance that is not ready, or stops");
    if (i.revision != r.revision)
      wrong("a place in {} for a request to {}", i.revision.str(), r.revision.str());
    if (++i.leases > configs_.at(i.revision).concurrency)
      wrong("{} requests in an instance of {}", i.leases, i.revision.str());
    if (one_in(60)) at(between(0, 40), [this, id = lease.instance] { exit(id); });  // it crashes
    at(one_in(20) ? between(200, 3000) : between(1, 60), [this, lease] {
      --instances_.at(lease.instance).leases;
      dispatcher_.release(lease, one_in(40) ? LeaseEnd::kBroken : LeaseEnd::kReusable);
    });
  }

  // ---- what must hold after every event

  void look() {
    for (size_t n = 0; n < open_.size();) {
      Request& r = *open_[n];
      if (!r.got) {
        ++n;
        continue;
      }
      open_[n] = open_.back();
      open_.pop_back();
      ++answered_;
      ++outcomes_[*r.got ? "served" : std::string(to_string(r.got->error().code()))];
      if (*r.got) serve(r);
    }
    std::map<RevisionId, int64_t> live, free;
    for (const auto& [id, i] : instances_) {
      if (i.gone || i.stopping) continue;
      ++live[i.revision];
      if (i.ready) free[i.revision] += configs_.at(i.revision).concurrency - i.leases;
    }
    if (alive() > kMaxInstances) wrong("{} instances, and {} is the most", alive(), kMaxInstances);
    for (const auto& [revision, count] : live)
      if (count > configs_.at(revision).max_instances) wrong("{} has {} instances", revision.str(), count);
    for (const auto& [revision, config] : configs_) {
      const size_t waiting = dispatcher_.waiting(revision);
      if (waiting > Dispatcher::kMaxQueue) wrong("{} wait for {}", waiting, revision.str());
      if (waiting > 0 && free[revision] > 0)
        wrong("{} wait for {} beside {} free places", waiting, revision.str(), free[revision]);
    }
    std::erase_if(instances_, [](const auto& entry) {
      return entry.second.gone && entry.second.leases == 0 && entry.second.stopping;
    });
  }
  [[nodiscard]] size_t alive() const {
    return static_cast<size_t>(std::count_if(instances_.begin(), instances_.end(),
                                             [](const auto& entry) { return !entry.second.gone; }));
  }

  std::mt19937_64 dice_;
  ManualClock clock_;
  std::unique_ptr<Loop> loop_ = *Loop::create(clock_);
  Dispatcher dispatcher_{*loop_, *this, kMaxInstances};
  std::priority_queue<Event> events_;
  uint64_t order_ = 0;
  TimePoint end_{};
  std::map<InstanceId, Instance> instances_;
  std::map<RevisionId, RevisionConfig> configs_;
  std::map<int, RevisionId> current_;
  int revisions_ = 0;
  std::vector<std::unique_ptr<Request>> requests_;
  std::vector<Request*> open_;
  size_t asked_ = 0, answered_ = 0, started_ = 0;
  std::map<std::string, size_t> outcomes_;
  std::string wrong_;
  Scope scope_{*loop_};
};

}  // namespace
}  // namespace skerry

int main(int argc, char** argv) {
  const auto number = [&](int index, uint64_t absent) {
    if (argc <= index) return absent;
    std::string_view text = argv[index];
    std::from_chars(text.data(), text.data() + text.size(), absent);
    return absent;
  };
  const uint64_t seed = number(1, 1), seconds = number(2, 60);
  skerry::Location location(seed);
  const bool good = location.run(std::chrono::seconds(seconds));
  fmt::print(good ? stdout : stderr, "seed {}: {}\n", seed, location.report());
  return good ? 0 : 1;
}
