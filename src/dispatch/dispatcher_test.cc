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
  void stop(const InstanceId& id, StopKind kind) override { stopped.emplace_back(id, kind); }
  std::deque<InstanceId> started;
  std::deque<std::pair<InstanceId, StopKind>> stopped;
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
    dispatcher_.on_ready(id, StartMode::kBoot);
    loop_->run_ready();
  }
  void done(Request& r, LeaseEnd end = LeaseEnd::kReusable) {
    dispatcher_.release(**r.got, end);
    loop_->run_ready();
  }

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

// Whatever the order of requests, cancels, ends, failures and exits: places add up and every request gets exactly one answer.
TEST_F(DispatchTest, Random_InterleavingsKeepTheInvariants) {
  for (unsigned seed = 1; seed <= 30; ++seed) {
    std::mt19937 random(seed);
    MemoryDriver driver;
    Dispatcher dispatcher(*loop_, driver, 6);
    std::vector<std::unique_ptr<Request>> all;
    std::set<Request*> open, holding;
    Scope scope(*loop_);
    const int64_t concurrency = 1 + seed % 3;
    dispatcher.add_revision(FunctionId("f"), revision("r", concurrency, 4));
    std::vector<InstanceId> starting;
    for (int step = 0; step < 400; ++step) {
      switch (random() % 7) {
        case 0:
        case 1: {
          all.push_back(std::make_unique<Request>(*loop_));
          open.insert(all.back().get());
          scope.spawn(ask(dispatcher, RevisionId("r"), kNoDeadline, *all.back()));
          break;
        }
        case 2:
          if (!driver.started.empty()) {
            dispatcher.on_ready(driver.started.front(), StartMode::kBoot);
            driver.started.pop_front();
          }
          break;
        case 3:
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
      for (Request* r : holding) EXPECT_LE(++places[(*r->got)->instance.str()], concurrency) << "seed " << seed;
      EXPECT_EQ(dispatcher.waiting(RevisionId("r")), open.size()) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace skerry
