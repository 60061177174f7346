#include "loop/loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "loop/scope.h"
#include "os/file.h"

namespace skerry {
namespace {

using namespace std::chrono_literals;

class LoopTest : public ::testing::Test {
 protected:
  SystemClock clock_;
  std::unique_ptr<Loop> loop_ = *Loop::create(clock_);
};

// One event, and how often the loop came to life for its descriptor.
Task<void> count_events(Event& event, int& events) {
  for (;;) {
    (void)co_await event.wait();
    ++events;
  }
}

Task<int> add(int a, int b) { co_return a + b; }
Task<void> store_sum(int& out) {
  const int three = co_await add(1, 2);
  out = co_await add(three, 4);
}
Task<void> wait_for(Event& event, TimePoint deadline, std::vector<Wake>& out) { out.push_back(co_await event.wait(deadline)); }
Task<void> set_then(Event& event, bool& after) {
  event.set();
  after = true;
  co_return;
}

TEST_F(LoopTest, Defer_RunsOnceAfterAllThatIsReady) {
  std::vector<int> order;
  Event event(*loop_);
  Scope scope(*loop_);
  scope.spawn([](Event& e, std::vector<int>& out) -> Task<void> {
    (void)co_await e.wait();
    out.push_back(1);
  }(event, order));
  loop_->defer([&] { order.push_back(2); });
  event.set();
  loop_->run_ready();
  loop_->run_ready();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST_F(LoopTest, FdWatch_TellsOfRoomOnlyWhoAskedForIt) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  const UniqueFd ours(fds[0]), theirs(fds[1]);
  FdWatch watch(*loop_, ours.get());
  char buffer[4096] = {};
  const auto exchange_a_byte = [&] {
    EXPECT_EQ(::write(ours.get(), buffer, 1), 1);
    EXPECT_EQ(::read(theirs.get(), buffer, sizeof buffer), 1);
    loop_->run_ready();
  };
  exchange_a_byte();
  int events = 0;
  Scope scope(*loop_);
  // The first ask is answered at once: there is room.
  scope.spawn(count_events(watch.writable(), events));
  loop_->run_ready();
  EXPECT_EQ(events, 1);
  while (::write(ours.get(), buffer, sizeof buffer) > 0) {}
  ASSERT_EQ(errno, EAGAIN);
  loop_->run_ready();
  EXPECT_EQ(events, 1);
  while (::read(theirs.get(), buffer, sizeof buffer) > 0) {}
  loop_->run_ready();
  EXPECT_GT(events, 1);
}

TEST_F(LoopTest, Tasks_ReturnTheirValueToTheirAwaiter) {
  int out = 0;
  Scope scope(*loop_);
  EXPECT_TRUE(scope.spawn(store_sum(out)));
  EXPECT_EQ(out, 7);
  EXPECT_EQ(scope.running(), 0U);
}

TEST_F(LoopTest, Event_IsRememberedAndConsumedOnce) {
  Event event(*loop_);
  std::vector<Wake> out;
  Scope scope(*loop_);
  event.set();
  scope.spawn(wait_for(event, kNoDeadline, out));
  EXPECT_EQ(out.size(), 1U);
  scope.spawn(wait_for(event, loop_->now() + 1ms, out));
  EXPECT_TRUE(loop_->run_until([&] { return out.size() == 2; }, 5s));
  EXPECT_EQ(out[1], Wake::kTimeout);
}

TEST_F(LoopTest, Event_NeverResumesItsWaiterInsideSet) {
  Event event(*loop_);
  std::vector<Wake> out;
  bool after = false;
  Scope scope(*loop_);
  scope.spawn(wait_for(event, kNoDeadline, out));
  scope.spawn(set_then(event, after));
  EXPECT_TRUE(after);
  EXPECT_TRUE(out.empty());
  loop_->run_ready();
  EXPECT_EQ(out.size(), 1U);
}

TEST_F(LoopTest, Scope_DestroysWaitersWithoutLeavingThemRegistered) {
  Event event(*loop_);
  std::vector<Wake> out;
  {
    Scope scope(*loop_);
    scope.spawn(wait_for(event, loop_->now() + 1ms, out));
    EXPECT_EQ(scope.running(), 1U);
  }
  event.set();
  std::this_thread::sleep_for(2ms);  // past the deadline of the dead waiter: nothing may fire
  loop_->run_ready();
  EXPECT_TRUE(out.empty());
}

TEST_F(LoopTest, Timers_FireInTheOrderOfTheirDeadlines) {
  std::vector<std::unique_ptr<Event>> events;
  std::vector<std::vector<Wake>> outs(50);
  std::vector<size_t> order;
  Scope scope(*loop_);
  const TimePoint start = loop_->now();
  for (size_t i = 0; i < 50; ++i) {
    events.push_back(std::make_unique<Event>(*loop_));
    scope.spawn(wait_for(*events[i], start + std::chrono::milliseconds((i * 7) % 50), outs[i]));
  }
  events[3]->set();
  EXPECT_TRUE(loop_->run_until([&] { return scope.running() == 0; }, 5s));
  EXPECT_EQ(outs[3][0], Wake::kSet);
  for (size_t i = 0; i < 50; ++i)
    if (i != 3) EXPECT_EQ(outs[i][0], Wake::kTimeout);
}

Task<void> read_byte(FdWatch& watch, int fd, char& out) {
  while (::read(fd, &out, 1) != 1) (void)co_await watch.readable().wait();
}

TEST_F(LoopTest, FdWatch_WakesTheReaderAndTellsOfAHangup) {
  auto pipe = make_pipe(O_NONBLOCK);
  ASSERT_TRUE(pipe);
  FdWatch watch(*loop_, pipe->read.get());
  ASSERT_TRUE(watch.status());
  bool hung_up = false;
  watch.on_hangup([&] { hung_up = true; });
  char c = 0;
  Scope scope(*loop_);
  scope.spawn(read_byte(watch, pipe->read.get(), c));
  EXPECT_EQ(scope.running(), 1U);
  ASSERT_EQ(::write(pipe->write.get(), "x", 1), 1);
  EXPECT_TRUE(loop_->run_until([&] { return scope.running() == 0; }, 5s));
  EXPECT_EQ(c, 'x');
  EXPECT_FALSE(hung_up);
  pipe->write.reset();
  EXPECT_TRUE(loop_->run_until([&] { return hung_up; }, 5s));
}

TEST_F(LoopTest, Post_WakesTheLoopFromAnotherThread) {
  int ran = 0;
  std::thread other([&] { loop_->post([&] { ++ran, loop_->stop(); }); });
  loop_->run();
  other.join();
  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace skerry
