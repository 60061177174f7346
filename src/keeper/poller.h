// Poller: level-triggered epoll over handlers. Keeper's own small loop: no coroutines, no timers, nothing but
// descriptors.
#pragma once

#include <sys/epoll.h>

#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry::keeper {

class Handler {
 public:
  virtual ~Handler() = default;
  virtual void on_ready() = 0;
};

class Poller {
 public:
  static Result<Poller> make();

  // Until `unwatch`, `handler` is called whenever `events` (or an error) stand on `fd`.
  Result<void> watch(int fd, uint32_t events, Handler& handler);
  void unwatch(int fd);
  // Waits up to `timeout_ms` (-1: for ever) and calls each ready handler once. A handler that is destroyed by
  // another one in the same round must unwatch its descriptors and may only be freed after the round.
  Result<void> run_once(int timeout_ms);

 private:
  explicit Poller(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  UniqueFd epoll_;
};

}  // namespace skerry::keeper
