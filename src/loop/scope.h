// Scope: the gate that detached work runs under. spawn() starts a task at once; join() waits until all have ended; a closed scope starts none.
//
// The owner must not die before its tasks: the destructor destroys what still runs, in its suspended place.
#pragma once

#include <cstddef>
#include <list>

#include "loop/loop.h"

namespace skerry {

class Scope {
 public:
  explicit Scope(Loop& loop) : idle_(loop) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope();

  // Runs `task` until its first suspension before returning. False, and the task is dropped, when the scope is closed.
  bool spawn(Task<void> task);
  // Destroys what runs, each task where it is suspended. Not from inside one of them.
  void stop();
  // No new tasks from here on.
  void close() { closed_ = true; }
  // Waits until every task has ended. One waiter.
  Task<void> join();
  [[nodiscard]] size_t running() const { return running_.size(); }

 private:
  struct Runner {
    struct promise_type {
      Scope* scope = nullptr;
      std::list<std::coroutine_handle<>>::iterator place;
      // The scope and the task are the coroutine's own parameters.
      promise_type(Scope& s, Task<void>&) : scope(&s) {}
      Runner get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
      std::suspend_always initial_suspend() noexcept { return {}; }
      std::suspend_never final_suspend() noexcept {
        scope->finished(place);
        return {};
      }
      void return_void() {}
      void unhandled_exception() noexcept { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
  };
  static Runner run(Scope& scope, Task<void> task);
  void finished(std::list<std::coroutine_handle<>>::iterator place);

  std::list<std::coroutine_handle<>> running_;
  Event idle_;
  bool closed_ = false;
  bool joining_ = false;
};

}  // namespace skerry
