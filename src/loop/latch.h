// Latch: set once, waited for by any number of coroutines.
#pragma once

#include <algorithm>
#include <vector>

#include "loop/loop.h"

namespace skerry {

class Latch {
 public:
  explicit Latch(Loop& loop) : loop_(loop) {}
  [[nodiscard]] bool is_set() const { return set_; }
  void set() {
    set_ = true;
    for (Event* event : waiters_) event->set();
  }
  Task<Wake> wait(TimePoint deadline = kNoDeadline) {
    if (set_) co_return Wake::kSet;
    Event event(loop_);
    const Registration registration(waiters_, event);
    co_return co_await event.wait(deadline);
  }

 private:
  struct Registration {
    Registration(std::vector<Event*>& list, Event& event) : list_(list), event_(event) { list_.push_back(&event_); }
    ~Registration() { std::erase(list_, &event_); }
    std::vector<Event*>& list_;
    Event& event_;
  };
  Loop& loop_;
  std::vector<Event*> waiters_;
  bool set_ = false;
};

}  // namespace skerry
