// Loop: one thread's event loop over epoll. Coroutines wait on Events; descriptors become Events through FdWatch.
//
// Everything here belongs to the loop's thread, except post() and stop(), which any thread may call. Nothing may block the thread.
// A woken coroutine never runs inside set(): it is queued and runs from the loop, so callers see no re-entrancy.
#pragma once

#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "loop/task.h"

namespace skerry {

class Loop;

inline constexpr TimePoint kNoDeadline = TimePoint::max();

enum class Wake : uint8_t { kSet, kTimeout };

// Something one coroutine waits for. set() is remembered until a wait consumes it. At most one waiter.
class Event {
 public:
  explicit Event(Loop& loop) : loop_(&loop) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event();

  void set();
  void clear() { set_ = false; }
  [[nodiscard]] bool is_set() const { return set_; }

  class Awaiter;
  // Consumes the set state. kTimeout when `deadline` passed first.
  [[nodiscard]] Awaiter wait(TimePoint deadline = kNoDeadline);

 private:
  friend class Loop;
  Loop* loop_;
  Awaiter* waiter_ = nullptr;
  bool set_ = false;
};

// A place in the loop's timer heap or ready queue; part of an awaiter's frame.
struct WaitNode {
  std::coroutine_handle<> handle;
  TimePoint deadline = kNoDeadline;
  size_t heap_index = SIZE_MAX;  // SIZE_MAX: not in the heap
  bool queued = false;
  Wake wake = Wake::kSet;
  Event::Awaiter* event_awaiter = nullptr;
};

class Event::Awaiter {
 public:
  Awaiter(Event& event, TimePoint deadline) : event_(&event) { node_.deadline = deadline; }
  Awaiter(const Awaiter&) = delete;
  Awaiter& operator=(const Awaiter&) = delete;
  ~Awaiter();
  bool await_ready();
  void await_suspend(std::coroutine_handle<> handle);
  Wake await_resume() { return node_.wake; }

 private:
  friend class Event;
  friend class Loop;
  Event* event_;  // nullptr once woken
  Loop* loop_ = nullptr;
  WaitNode node_;
};

// A descriptor in epoll, edge-triggered. readable()/writable() are set when the kernel says so and must be consumed by trying the operation
// first and waiting only after EAGAIN. Does not own the descriptor; must die before it is closed.
class FdWatch {
 public:
  FdWatch(Loop& loop, int fd);
  ~FdWatch();
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;

  [[nodiscard]] Result<void> status() const;  // an error if epoll refused the descriptor
  Event& readable() { return readable_; }
  // Asked of the kernel from the first call on: a socket that is written to without ever being full would wake the loop each time its peer reads.
  Event& writable();
  // True once the peer closed its side (EPOLLRDHUP) or the descriptor failed; on_hangup runs once, from the loop.
  [[nodiscard]] bool hung_up() const { return hung_up_; }
  void on_hangup(std::function<void()> callback) { hangup_ = std::move(callback); }
  // Wakes both waiters; callers of read/write see their own aborted flag.
  void wake_all();

 private:
  friend class Loop;
  void dispatch(uint32_t events);

  Loop& loop_;
  int fd_;
  int error_ = 0;
  bool asks_writable_ = false;
  Event readable_;
  Event writable_;
  bool hung_up_ = false;
  std::function<void()> hangup_;
};

class Loop {
 public:
  static Result<std::unique_ptr<Loop>> create(const Clock& clock);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until stop().
  void run();
  // Runs until nothing is ready without waiting; for tests.
  void run_ready();
  // Runs until `done` says so or the deadline passed (returns false).
  bool run_until(const std::function<bool()>& done, Duration limit);
  void stop();
  void post(std::function<void()> work);
  // Runs `work` once on this thread, when all that is ready now has run and before the loop waits: for what is cheaper in one piece. Not from another thread.
  void defer(std::function<void()> work) { deferred_.push_back(std::move(work)); }

  [[nodiscard]] TimePoint now() const { return clock_.now(); }
  [[nodiscard]] const Clock& clock() const { return clock_; }
  // Suspends until `deadline`.
  Task<void> sleep_until(TimePoint deadline);

 private:
  friend class Event;
  friend class Event::Awaiter;
  friend class FdWatch;

  Loop(const Clock& clock, UniqueFd epoll, UniqueFd wakeup);
  void make_ready(WaitNode& node, Wake wake);
  void forget(WaitNode& node);
  void add_timer(WaitNode& node);
  void remove_timer(WaitNode& node);
  void sift(size_t index);
  void drain();
  void poll(Duration limit);
  void run_posted();
  void forget_watch(FdWatch* watch);

  const Clock& clock_;
  UniqueFd epoll_;
  UniqueFd wakeup_;
  std::deque<WaitNode*> ready_;
  std::vector<WaitNode*> timers_;      // binary min-heap by deadline
  std::vector<std::function<void()>> deferred_;
  std::vector<FdWatch*> dispatching_;  // watches of the batch in hand; nulled when one dies meanwhile
  bool stopping_ = false;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
};

}  // namespace skerry
