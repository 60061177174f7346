#include "loop/scope.h"

namespace skerry {

Scope::Runner Scope::run(Scope&, Task<void> task) { co_await std::move(task); }

bool Scope::spawn(Task<void> task) {
  if (closed_) return false;
  Runner runner = run(*this, std::move(task));
  running_.push_back(runner.handle);
  runner.handle.promise().place = std::prev(running_.end());
  runner.handle.resume();
  return true;
}

void Scope::finished(std::list<std::coroutine_handle<>>::iterator place) {
  running_.erase(place);
  if (joining_ && running_.empty()) idle_.set();
}

Task<void> Scope::join() {
  if (running_.empty()) co_return;
  joining_ = true;
  (void)co_await idle_.wait();
  joining_ = false;
}

Scope::~Scope() {
  closed_ = true;
  stop();
}

void Scope::stop() {
  while (!running_.empty()) {
    const std::coroutine_handle<> handle = running_.front();
    running_.pop_front();
    handle.destroy();
  }
}

}  // namespace skerry
