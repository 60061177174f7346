#include "dispatch/dispatcher.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <set>

#include "loop/scope.h"

namespace skerry {
namespace {

using namespace std::chrono_literals;

// An in-memory driver: remembers what it was asked, and the test says what happens.
class MemoryDriver final : public Driver {
 public:
  void start(const InstanceId& id, const FunctionId&, const RevisionConfig&) override { started.push_back(id); }
  void stop(const InstanceId& id, StopKind kind) override {
    frozen.erase(id);
    stopped.emplace_back(id, kind);
  }
  std::optional<uint64_t> cpu_time_us(const InstanceId& id) override { return counts ? std::optional(used_us[id]) : std::nullopt; }
  Result<void> freeze(const InstanceId& id) override {
    ++freezes;
    if (refuses_to_freeze) return fail(ErrorCode::kUnavailable, "no");
    EXPECT_TRUE(frozen.insert(id).second) << "frozen twice";
    return {};
  }
  Result<void> thaw(const InstanceId& id) override {
    EXPECT_EQ(frozen.erase(id), 1U) << "thawed what runs";
    ++thaws;
    if (gone.contains(id)) return fail(ErrorCode::kUnavailable, "gone");
    return {};
  }
  std::deque<InstanceId> started;
  std::deque<std::pair<InstanceId, StopKind>> stopped;
  std::set<InstanceId> frozen, gone;
  std::map<InstanceId, uint64_t> used_us;
  bool counts = false, refuses_to_freeze = false;
  int freezes = 0, thaws = 0;
};

RevisionConfig revision(const char* id, int64_t concurrency = 1, int64_t max_instances = 10) {
  RevisionConfig config;
  config.id = RevisionId(id);
  config.concurrency = concurrency;
  config.max_instances = max_instances;
  config.idle_timeout_ms = 1000;
  return config;
}

struct Request {
  explicit Request(Loop& loop) : wait(loop) {}
  Dispatcher::Wait wait;
  std::unique_ptr<Result<Lease>> got;
};

Task<void> ask(Dispatcher& dispatcher, RevisionId id, TimePoint deadline, Request& request) {
  request.got = std::make_unique<Result<Lease>>(co_await dispatcher.lease(std::move(id), deadline, request.wait));
}

class DispatchTest : public ::testing::Test {
 protected:
  Request& request(const char* id = "r", TimePoint deadline = kNoDeadline) {
    requests_.push_back(std::make_unique<Request>(*loop_));
    scope_.spawn(ask(dispatcher_, RevisionId(id), deadline, *requests_.back()));
    loop_->run_ready();
    return *requests_.back();
  }
  InstanceId next_start() {
    InstanceId id = driver_.started.front();
    driver_.started.pop_front();
    return id;
  }
  void ready(const InstanceId& id) {
    dispatcher_.on_ready(id, StartMode::kBoot, phases_);
    loop_->run_ready();
  }
  // An instance that was used and is idle.
  InstanceId used_instance(const char* revision_id = "r") {
    Request& r = request(revision_id);
    if (!r.got) ready(next_start());
    const InstanceId id = (*r.got)->instance;
    done(r);
    return id;
  }
  void ticks(int count) {
    for (int i = 0; i < count; ++i) {
      clock_.advance(250ms);
      dispatcher_.tick();
    }
    loop_->run_ready();
  }
  // Until whatever does nothing stands still.
  void quiet() { ticks(5); }
  std::string_view state_of(const InstanceId& id) const {
    for (const auto& view : dispatcher_.instances())
      if (view.id == id) return view.state;
    return "";
  }
  void done(Request& r, LeaseEnd end = LeaseEnd::kReusable) {
    dispatcher_.release(**r.got, end);
    loop_->run_ready();
  }

  StartPhases phases_;  // of the starts that become ready
  ManualClock clock_;
  std::unique_ptr<Loop> loop_ = *Loop::create(clock_);
  MemoryDriver driver_;
  Dispatcher dispatcher_{*loop_, driver_, 6};
  std::vector<std::unique_ptr<Request>> requests_;
  Scope scope_{*loop_};
};

TEST_F(DispatchTest, Dispatch_StartsOneForTheFirstRequestAndReusesIt) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  Request& first = request();
  ASSERT_EQ(driver_.started.size(), 1U);
  EXPECT_EQ(first.got, nullptr);
  const InstanceId id = next_start();
  ready(id);
  ASSERT_TRUE(first.got && *first.got);
  EXPECT_EQ((*first.got)->mode, StartMode::kBoot);
  done(first);
  Request& second = request();
  EXPECT_EQ((*second.got)->instance, id);
  EXPECT_EQ((*second.got)->mode, StartMode::kWarm);
  EXPECT_TRUE(driver_.started.empty());
}

TEST_F(DispatchTest, Dispatch_NeverLeasesABusyInstance) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  Request& a = request();
  ready(next_start());
  Request& b = request();
  EXPECT_EQ(b.got, nullptr);
  EXPECT_EQ(driver_.started.size(), 1U);
  done(a);  // the freed one serves the waiter before its own start is ready
  ASSERT_TRUE(b.got && *b.got);
  EXPECT_EQ((*b.got)->instance, (*a.got)->instance);
}

TEST_F(DispatchTest, Dispatch_UsesTheMostRecentlyUsedFirst) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  Request& a = request();
  Request& b = request();
  ready(next_start());
  ready(next_start());
  done(a);
  done(b);
  EXPECT_EQ((*request().got)->instance, (*b.got)->instance);
}

TEST_F(DispatchTest, Queue_IsFirstInFirstOut) {
  dispatcher_.add_revision(FunctionId("f"), revision("r", 1, 1));
  Request& a = request();
  Request& b = request();
  Request& c = request();
  ready(next_start());
  EXPECT_TRUE(a.got);
  done(a);
  EXPECT_TRUE(b.got);
  EXPECT_FALSE(c.got);
}

TEST_F(DispatchTest, Queue_RefusesOnePastItsBound) {
  dispatcher_.add_revision(FunctionId("f"), revision("r", 1, 1));
  for (size_t i = 0; i < Dispatcher::kMaxQueue; ++i) EXPECT_EQ(request().got, nullptr);
  EXPECT_EQ(request().got->error().code(), ErrorCode::kTooMany);
}

TEST_F(DispatchTest, Queue_GivesUpThePlaceOfACallerThatWentAway) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  Request& a = request();
  a.wait.cancel();
  loop_->run_ready();
  EXPECT_EQ(a.got->error().code(), ErrorCode::kCancelled);
  EXPECT_EQ(dispatcher_.waiting(RevisionId("r")), 0U);
  ready(next_start());  // its start becomes an idle instance
  EXPECT_TRUE(*request().got);
}

TEST_F(DispatchTest, Queue_TimesOut) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  Request& a = request("r", clock_.now() + 5s);
  clock_.advance(6s);
  loop_->run_ready();
  ASSERT_TRUE(a.got);
  EXPECT_EQ(a.got->error().code(), ErrorCode::kTimeout);
}

TEST_F(DispatchTest, Start_ThatFailsTellsEveryWaiterWhyAndBacksOff) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  Request& a = request();
  Request& b = request();
  dispatcher_.on_start_failed(next_start(), "code", "no module named x");
  dispatcher_.on_start_failed(next_start(), "code", "no module named x");
  loop_->run_ready();
  EXPECT_EQ(a.got->error().message(), "code: no module named x");
  EXPECT_EQ(b.got->error().code(), ErrorCode::kFunctionFailed);
  EXPECT_EQ(request().got->error().code(), ErrorCode::kFunctionFailed);  // at once, without a start
  EXPECT_TRUE(driver_.started.empty());
  clock_.advance(1s);
  request();
  EXPECT_EQ(driver_.started.size(), 1U);
}

TEST_F(DispatchTest, Start_WithoutADiskForItIsTheLocationsLack) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  Request& waits = request();
  dispatcher_.on_start_failed(next_start(), kScratchPhase, "0 MB are left");
  loop_->run_ready();
  EXPECT_EQ(waits.got->error().code(), ErrorCode::kNoCapacity);
  EXPECT_EQ(request().got->error().code(), ErrorCode::kNoCapacity);
  clock_.advance(1s);
  request();
  EXPECT_EQ(driver_.started.size(), 1U);
}

TEST_F(DispatchTest, Start_ManyThatFailTogetherAreOneFailure) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  for (int i = 0; i < 5; ++i) request();
  for (int i = 0; i < 5; ++i) dispatcher_.on_start_failed(next_start(), "sandbox", "sandboxd restarted during the start");
  clock_.advance(autoscaler::start_backoff(1));
  request();
  ASSERT_EQ(driver_.started.size(), 1U);
  // The next round waits longer: it is the second in a row.
  dispatcher_.on_start_failed(next_start(), "code", "x");
  clock_.advance(autoscaler::start_backoff(2) - 1ms);
  request();
  EXPECT_TRUE(driver_.started.empty());
  clock_.advance(1ms);
  request();
  EXPECT_EQ(driver_.started.size(), 1U);
}

TEST_F(DispatchTest, Dispatch_AStartThatIsLostIsMadeAgainForWhoStillWaits) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  Request& waits = request();
  Request& leaves = request();
  const InstanceId first = next_start(), second = next_start();
  leaves.wait.cancel();
  loop_->run_ready();
  dispatcher_.on_exited(first);
  ASSERT_TRUE(driver_.started.empty());  // the other start is under way
  dispatcher_.on_exited(second);
  ASSERT_EQ(driver_.started.size(), 1U);
  EXPECT_EQ(waits.got, nullptr);  // neither refused nor made to wait longer than the start takes
  ready(next_start());
  ASSERT_TRUE(waits.got && *waits.got);
}

TEST_F(DispatchTest, Room_WhoGotNoneToTheEndHearsOfIt) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  dispatcher_.add_revision(FunctionId("g"), revision("other"));
  for (int i = 0; i < 6; ++i) request("other");
  while (!driver_.started.empty()) ready(next_start());  // six, all busy: the bound of this dispatcher
  Request& waits = request("r", clock_.now() + 1s);
  EXPECT_TRUE(driver_.started.empty());
  clock_.advance(1s);
  loop_->run_ready();
  ASSERT_TRUE(waits.got && !*waits.got);
  EXPECT_EQ(waits.got->error().code(), ErrorCode::kNoCapacity);
  // Where an instance of its own is busy, it is time that was short.
  Request& queued = request("other", clock_.now() + 1s);
  clock_.advance(1s);
  loop_->run_ready();
  ASSERT_TRUE(queued.got && !*queued.got);
  EXPECT_EQ(queued.got->error().code(), ErrorCode::kTimeout);
}

TEST_F(DispatchTest, Broken_InstancesAreKilledAndReplacedForWaiters) {
  dispatcher_.add_revision(FunctionId("f"), revision("r", 1, 1));
  Request& a = request();
  ready(next_start());
  Request& b = request();
  done(a, LeaseEnd::kBroken);
  ASSERT_EQ(driver_.stopped.size(), 1U);
  EXPECT_EQ(driver_.stopped[0].second, StopKind::kKill);
  ASSERT_EQ(driver_.started.size(), 1U);
  dispatcher_.on_exited(driver_.stopped[0].first);
  ready(next_start());
  EXPECT_TRUE(b.got && *b.got);
}

TEST_F(DispatchTest, Idle_InstancesEndAfterTheirTimeAndZeroMeansZero) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  Request& a = request();
  ready(next_start());
  done(a);
  clock_.advance(999ms);
  dispatcher_.tick();
  EXPECT_TRUE(driver_.stopped.empty());
  clock_.advance(1ms);
  dispatcher_.tick();
  ASSERT_EQ(driver_.stopped.size(), 1U);
  dispatcher_.on_exited(driver_.stopped[0].first);
  EXPECT_TRUE(dispatcher_.instances().empty());
}

TEST_F(DispatchTest, Retired_RevisionsFinishWhatTheyBegan) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  Request& a = request();
  const InstanceId id = next_start();
  ready(id);
  dispatcher_.retire_revision(RevisionId("r"));
  EXPECT_TRUE(driver_.stopped.empty());
  EXPECT_EQ(request().got->error().code(), ErrorCode::kNotFound);
  done(a);
  ASSERT_EQ(driver_.stopped.size(), 1U);
  dispatcher_.on_exited(id);
  EXPECT_FALSE(dispatcher_.knows(RevisionId("r")));
}

TEST_F(DispatchTest, Minimum_IsKeptWithoutRequestsAndLetGoWhenItIsLowered) {
  RevisionConfig config = revision("r");
  config.min_instances = 1;
  dispatcher_.add_revision(FunctionId("f"), config);
  ready(next_start());
  clock_.advance(60s);
  dispatcher_.tick();
  EXPECT_TRUE(driver_.stopped.empty());
  config.min_instances = 0;
  dispatcher_.add_revision(FunctionId("f"), config);
  dispatcher_.tick();
  EXPECT_EQ(driver_.stopped.size(), 1U);
}

TEST_F(DispatchTest, Full_MachineTakesThePlaceOfTheLongestIdle) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  dispatcher_.add_revision(FunctionId("g"), revision("s"));
  std::vector<Request*> all;
  for (int i = 0; i < 6; ++i) all.push_back(&request());
  while (!driver_.started.empty()) ready(next_start());
  for (Request* r : all) {
    clock_.advance(1ms);
    done(*r);
  }
  Request& other = request("s");
  ASSERT_EQ(driver_.stopped.size(), 1U);
  EXPECT_EQ(driver_.stopped[0].first, (*all[0]->got)->instance);
  EXPECT_TRUE(driver_.started.empty());
  dispatcher_.on_exited(driver_.stopped[0].first);
  ready(next_start());
  EXPECT_TRUE(other.got && *other.got);
}

TEST_F(DispatchTest, Start_TellsWhereItsTimeWentToWhoWaitedForIt) {
  dispatcher_.add_revision(FunctionId("f"), revision("r", 1, 1));
  Request& first = request();
  clock_.advance(30ms);
  Request& second = request();
  clock_.advance(20ms);
  phases_ = {.slot = 1ms, .mount = 2ms, .runtime = 3ms, .code = 4ms, .ready = 5ms};
  ready(next_start());
  EXPECT_EQ((*first.got)->queued, 50ms);
  EXPECT_EQ((*first.got)->start, 50ms);
  EXPECT_EQ((*first.got)->phases, phases_);
  ASSERT_EQ(dispatcher_.instances().size(), 1U);
  EXPECT_EQ(dispatcher_.instances()[0].phases, phases_);
  clock_.advance(10ms);
  done(first);
  // This one waited in the queue, and for no start.
  EXPECT_EQ((*second.got)->queued, 30ms);
  EXPECT_EQ((*second.got)->start, 0ms);
  EXPECT_EQ((*second.got)->phases, StartPhases{});
}

TEST_F(DispatchTest, Start_ThatCameLateLeavesTheRestToTheQueue) {
  dispatcher_.add_revision(FunctionId("f"), revision("r"));
  dispatcher_.add_revision(FunctionId("g"), revision("other"));
  std::vector<Request*> busy;
  for (int i = 0; i < 6; ++i) busy.push_back(&request("other"));
  while (!driver_.started.empty()) ready(next_start());
  Request& waits = request();  // there is no room for its instance
  clock_.advance(40ms);
  done(*busy[0]);
  dispatcher_.tick();
  ASSERT_EQ(driver_.stopped.size(), 1U);
  dispatcher_.on_exited(driver_.stopped[0].first);
  clock_.advance(5ms);
  ready(next_start());
  EXPECT_EQ((*waits.got)->queued, 45ms);
  EXPECT_EQ((*waits.got)->start, 5ms);
}

// ---- frozen between requests

RevisionConfig patient(const char* id, int64_t concurrency = 1) {
  RevisionConfig config = revision(id, concurrency);
  config.idle_timeout_ms = 60'000;
  return config;
}

TEST_F(DispatchTest, Freeze_TakesWhatDoesNothingAndTheNextRequestThawsIt) {
  driver_.counts = true;
  dispatcher_.add_revision(FunctionId("f"), patient("r"));
  const InstanceId id = used_instance();
  ticks(4);  // the first look and three quarters of a second
  EXPECT_EQ(state_of(id), "idle");
  ticks(1);
  EXPECT_EQ(state_of(id), "frozen");
  EXPECT_TRUE(driver_.frozen.contains(id));
  Request& next = request();
  ASSERT_TRUE(next.got && *next.got);
  EXPECT_EQ((*next.got)->instance, id);
  EXPECT_EQ((*next.got)->mode, StartMode::kThaw);
  EXPECT_TRUE(driver_.frozen.empty());  // before the lease was given
  EXPECT_TRUE(driver_.started.empty());
  done(next);
  EXPECT_EQ((*request().got)->mode, StartMode::kWarm);
}

TEST_F(DispatchTest, Freeze_NeverTakesABusyOneHoweverLongItTakes) {
  driver_.counts = true;
  dispatcher_.add_revision(FunctionId("f"), patient("r", 2));
  used_instance();
  Request& stream = request();
  ticks(400);  // longer than its idle_timeout
  EXPECT_EQ(driver_.freezes, 0);
  EXPECT_TRUE(driver_.stopped.empty());
  // A place is free in it: the other request does not find it frozen, and its end leaves the stream in it.
  Request& other = request();
  EXPECT_EQ((*other.got)->mode, StartMode::kWarm);
  done(other);
  ticks(40);
  EXPECT_EQ(driver_.freezes, 0);
  done(stream);
  quiet();
  EXPECT_EQ(driver_.freezes, 1);
}

TEST_F(DispatchTest, Freeze_TheSecondBeginsAtTheEndOfTheLastRequest) {
  driver_.counts = true;
  dispatcher_.add_revision(FunctionId("f"), patient("r"));
  const InstanceId id = used_instance();
  ticks(4);
  EXPECT_EQ(used_instance(), id);
  ticks(4);
  EXPECT_EQ(state_of(id), "idle");
  ticks(1);
  EXPECT_EQ(state_of(id), "frozen");
}

TEST_F(DispatchTest, Freeze_WaitsForWhatComputesAndIsOffForBackground) {
  driver_.counts = true;
  RevisionConfig config = patient("b");
  config.background = true;
  dispatcher_.add_revision(FunctionId("f"), patient("r"));
  dispatcher_.add_revision(FunctionId("g"), config);
  const InstanceId works = used_instance("r"), background = used_instance("b");
  for (int i = 0; i < 20; ++i) {
    driver_.used_us[works] += autoscaler::kQuietCpuUs;
    ticks(1);
  }
  EXPECT_EQ(driver_.freezes, 0);
  quiet();
  EXPECT_EQ(state_of(works), "frozen");
  EXPECT_EQ(state_of(background), "idle");
}

TEST_F(DispatchTest, Freeze_TheMostRecentlyUsedIsLeasedFirstFrozenOrNot) {
  driver_.counts = true;
  dispatcher_.add_revision(FunctionId("f"), patient("r"));
  Request& a = request();
  Request& b = request();
  ready(next_start());
  ready(next_start());
  const InstanceId first = (*a.got)->instance, second = (*b.got)->instance;
  done(a);
  done(b);
  for (int i = 0; i < 8; ++i) {
    driver_.used_us[first] += autoscaler::kQuietCpuUs;  // this one stays awake
    ticks(1);
  }
  ASSERT_EQ(state_of(first), "idle");
  ASSERT_EQ(state_of(second), "frozen");
  Request& next = request();
  EXPECT_EQ((*next.got)->instance, second);
  EXPECT_EQ((*next.got)->mode, StartMode::kThaw);
  EXPECT_EQ((*request().got)->mode, StartMode::kWarm);
}

TEST_F(DispatchTest, Freeze_FrozenInstancesCountAndEndAfterTheirTime) {
  driver_.counts = true;
  dispatcher_.add_revision(FunctionId("f"), patient("r"));
  const InstanceId id = used_instance();
  ticks(239);
  EXPECT_EQ(state_of(id), "frozen");
  EXPECT_TRUE(driver_.stopped.empty());
  ticks(1);
  ASSERT_EQ(driver_.stopped.size(), 1U);
  EXPECT_EQ(driver_.stopped[0].second, StopKind::kDrain);
  EXPECT_TRUE(driver_.frozen.empty());
  EXPECT_EQ(state_of(id), "stopping");
  ticks(20);
  EXPECT_EQ(driver_.freezes, 1);  // not again while it ends
}

TEST_F(DispatchTest, Freeze_RetiredAndCrowdedOutOnesAreStopped) {
  driver_.counts = true;
  dispatcher_.add_revision(FunctionId("f"), patient("r"));
  dispatcher_.add_revision(FunctionId("g"), patient("s"));
  std::vector<Request*> all;
  for (int i = 0; i < 6; ++i) all.push_back(&request());
  while (!driver_.started.empty()) ready(next_start());
  for (Request* r : all) done(*r);
  quiet();
  ASSERT_EQ(driver_.frozen.size(), 6U);
  request("s");  // takes the place of one
  EXPECT_EQ(driver_.frozen.size(), 5U);
  dispatcher_.retire_revision(RevisionId("r"));
  EXPECT_TRUE(driver_.frozen.empty());
  EXPECT_EQ(driver_.stopped.size(), 6U);
}

TEST_F(DispatchTest, Freeze_OneThatDoesNotThawCostsNothingButAStart) {
  driver_.counts = true;
  dispatcher_.add_revision(FunctionId("f"), patient("r"));
  Request& a = request();
  Request& b = request();
  ready(next_start());
  ready(next_start());
  done(a);
  done(b);
  quiet();
  driver_.gone.insert((*b.got)->instance);
  Request& next = request();
  ASSERT_TRUE(next.got && *next.got);
  EXPECT_EQ((*next.got)->instance, (*a.got)->instance);
  ASSERT_EQ(driver_.stopped.size(), 1U);
  EXPECT_EQ(driver_.stopped[0], std::pair((*b.got)->instance, StopKind::kKill));
  done(next);
  quiet();
  driver_.gone.insert((*a.got)->instance);
  Request& last = request();
  EXPECT_EQ(last.got, nullptr);
  ready(next_start());
  ASSERT_TRUE(last.got && *last.got);
  EXPECT_EQ((*last.got)->mode, StartMode::kBoot);
}

TEST_F(DispatchTest, Freeze_ThatIsRefusedLeavesItRunningAndIsTriedASecondLater) {
  driver_.counts = driver_.refuses_to_freeze = true;
  dispatcher_.add_revision(FunctionId("f"), patient("r"));
  const InstanceId id = used_instance();
  ticks(5);
  EXPECT_EQ(driver_.freezes, 1);
  EXPECT_EQ(state_of(id), "idle");
  ticks(4);
  EXPECT_EQ(driver_.freezes, 1);
  ticks(1);
  EXPECT_EQ(driver_.freezes, 2);
  EXPECT_EQ((*request().got)->mode, StartMode::kWarm);
}

TEST_F(DispatchTest, Freeze_AnAdoptedInstanceRunsUntilItWasQuietHere) {
  driver_.counts = true;
  dispatcher_.add_revision(FunctionId("f"), patient("r"));
  const InstanceId id(new_ulid());
  ASSERT_TRUE(dispatcher_.adopt(id, RevisionId("r")));
  ticks(4);
  EXPECT_EQ(state_of(id), "idle");
  ticks(1);
  EXPECT_EQ(state_of(id), "frozen");
  dispatcher_.on_exited(id);  // killed while it stood still
  EXPECT_TRUE(dispatcher_.instances().empty());
}

TEST_F(DispatchTest, Freeze_TakesSoManyInOneTickAndTheRestInTheNext) {
  driver_.counts = true;
  Dispatcher many(*loop_, driver_, Dispatcher::kMaxFreezes + 1);
  RevisionConfig config = patient("r");
  config.max_instances = static_cast<int64_t>(Dispatcher::kMaxFreezes) + 1;
  many.add_revision(FunctionId("f"), config);
  for (size_t i = 0; i < Dispatcher::kMaxFreezes + 1; ++i) ASSERT_TRUE(many.adopt(InstanceId(new_ulid()), RevisionId("r")));
  many.tick();
  clock_.advance(autoscaler::kQuietTime);
  many.tick();
  EXPECT_EQ(driver_.frozen.size(), Dispatcher::kMaxFreezes);
  many.tick();
  EXPECT_EQ(driver_.frozen.size(), Dispatcher::kMaxFreezes + 1);
}

// Whatever the order of requests, cancels, ends, failures and exits: places add up, every request gets exactly one answer, and nothing that is leased stands
// still.
TEST_F(DispatchTest, Random_InterleavingsKeepTheInvariants) {
  int freezes = 0, thaws = 0;
  for (unsigned seed = 1; seed <= 30; ++seed) {
    std::mt19937 random(seed);
    MemoryDriver driver;
    driver.counts = true;
    Dispatcher dispatcher(*loop_, driver, 6);
    std::vector<std::unique_ptr<Request>> all;
    std::set<Request*> open, holding;
    Scope scope(*loop_);
    const int64_t concurrency = 1 + seed % 3;
    RevisionConfig config = revision("r", concurrency, 4);
    config.idle_timeout_ms = 3000;
    dispatcher.add_revision(FunctionId("f"), config);
    std::vector<InstanceId> starting;
    for (int step = 0; step < 400; ++step) {
      switch (random() % 12) {
        case 0:
        case 1: {
          all.push_back(std::make_unique<Request>(*loop_));
          open.insert(all.back().get());
          scope.spawn(ask(dispatcher, RevisionId("r"), kNoDeadline, *all.back()));
          break;
        }
        case 2:
          if (!driver.started.empty()) {
            dispatcher.on_ready(driver.started.front(), StartMode::kBoot, {});
            driver.started.pop_front();
          }
          break;
        case 3:
        case 9:
        case 10:
          if (!holding.empty()) {
            Request* r = *holding.begin();
            holding.erase(r);
            dispatcher.release(**r->got, random() % 4 == 0 ? LeaseEnd::kBroken : LeaseEnd::kReusable);
          }
          break;
        case 4:
          if (!open.empty()) (*open.begin())->wait.cancel();
          break;
        case 5:
          if (!driver.started.empty() && random() % 3 == 0) {
            dispatcher.on_start_failed(driver.started.front(), "code", "x");
            driver.started.pop_front();
            clock_.advance(60s);
          }
          break;
        case 6:
          if (!driver.stopped.empty()) {
            dispatcher.on_exited(driver.stopped.front().first);
            driver.stopped.pop_front();
          }
          break;
        case 7:
          for (const auto& view : dispatcher.instances())
            if (random() % 3 == 0) driver.used_us[view.id] += random() % (2 * autoscaler::kQuietCpuUs);
          break;
        case 8:
        case 11:
          for (unsigned n = random() % 12; n > 0; --n) {
            clock_.advance(250ms);
            dispatcher.tick();
          }
          break;
      }
      loop_->run_ready();
      std::map<std::string, int64_t> places;
      for (auto it = open.begin(); it != open.end();) {
        Request* r = *it;
        if (!r->got) {
          ++it;
          continue;
        }
        it = open.erase(it);
        if (*r->got) holding.insert(r);
      }
      for (Request* r : holding) EXPECT_FALSE(driver.frozen.contains((*r->got)->instance)) << "seed " << seed;
      for (const auto& view : dispatcher.instances()) EXPECT_EQ(driver.frozen.contains(view.id), view.state == "frozen") << "seed " << seed;
      for (Request* r : holding) EXPECT_LE(++places[(*r->got)->instance.str()], concurrency) << "seed " << seed;
      EXPECT_EQ(dispatcher.waiting(RevisionId("r")), open.size()) << "seed " << seed;
    }
    freezes += driver.freezes;
    thaws += driver.thaws;
  }
  EXPECT_GT(freezes, 100);
  EXPECT_GT(thaws, 50);
}

}  // namespace
}  // namespace skerry
