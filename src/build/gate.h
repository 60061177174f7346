// BuildGate: how many builds run at a time, and how many may wait for one of those places, first come first served. Thread: control's loop.
#pragma once

#include <cstddef>
#include <deque>

#include "base/result.h"
#include "loop/loop.h"

namespace skerry {

class BuildGate {
 public:
  BuildGate(Loop& loop, size_t places, size_t max_waiting) : loop_(loop), places_(places), max_waiting_(max_waiting) {}

  // A place; given back when it dies.
  class Place {
   public:
    explicit Place(BuildGate& gate) : gate_(&gate) {}
    Place(Place&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (gate_ != nullptr) gate_->leave();
    }

   private:
    BuildGate* gate_;
  };

  // kTooMany when the queue is full.
  Task<Result<Place>> enter() {
    if (places_ > 0) {
      --places_;
      co_return Place(*this);
    }
    if (waiting_.size() >= max_waiting_) co_return fail(ErrorCode::kTooMany, "{} builds wait already; ship again in a minute", waiting_.size());
    Event mine(loop_);
    Waiter waiter(*this, mine);
    (void)co_await mine.wait();
    waiter.granted = false;  // the place is in hand from here on
    co_return Place(*this);
  }

 private:
  struct Waiter {
    Waiter(BuildGate& g, Event& e) : gate(g), event(e) { gate.waiting_.push_back(this); }
    ~Waiter() {
      std::erase(gate.waiting_, this);
      if (granted) gate.leave();  // given a place, and gone before it could take it
    }
    BuildGate& gate;
    Event& event;
    bool granted = false;
  };
  void leave() {
    if (waiting_.empty()) return void(++places_);
    Waiter* next = waiting_.front();
    waiting_.pop_front();
    next->granted = true;
    next->event.set();
  }

  Loop& loop_;
  size_t places_;
  size_t max_waiting_;
  std::deque<Waiter*> waiting_;
};

}  // namespace skerry
