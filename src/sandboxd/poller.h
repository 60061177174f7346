// The event loop of the three roles: one thread, level-triggered epoll, a callback a descriptor. Small on purpose: these processes run as root.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <functional>
#include <memory>
#include <unordered_map>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry::sandbox {

class Poller {
 public:
  Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

  // Calls `ready` whenever `fd` can be read or its peer is gone. The caller keeps the descriptor and calls remove() before closing it.
  Result<void> add(int fd, std::function<void()> ready) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP;
    event.data.fd = fd;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
    // Shared by the map and the dispatch in hand: a callback may remove itself.
    callbacks_[fd] = std::make_shared<std::function<void()>>(std::move(ready));
    return {};
  }
  void remove(int fd) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    callbacks_.erase(fd);
  }
  // Waits at most `limit` and runs what is ready. False when a signal interrupted.
  bool poll(std::chrono::milliseconds limit) {
    epoll_event events[64];
    const int n = ::epoll_wait(epoll_.get(), events, 64, static_cast<int>(limit.count()));
    for (int i = 0; i < n; ++i) {
      const auto found = callbacks_.find(events[i].data.fd);
      if (found == callbacks_.end()) continue;
      const auto callback = found->second;
      (*callback)();
    }
    return n >= 0;
  }

 private:
  UniqueFd epoll_;
  std::unordered_map<int, std::shared_ptr<std::function<void()>>> callbacks_;
};

}  // namespace skerry::sandbox
