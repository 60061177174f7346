// The event loop of the three roles: one thread, level-triggered epoll, callbacks by descriptor. Small on purpose: these processes run as root.
//
// A callback may remove any descriptor, its own too, and a number that the kernel gives out again is another registration: an event that was
// fetched for the old one is dropped, never delivered to the new one.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry::sandbox {

class Poller {
 public:
  static constexpr int kMaxEvents = 64;  // a turn

  Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

  // Calls `readable` whenever `fd` can be read or its peer is gone. The caller keeps the descriptor and calls remove() before closing it.
  Result<void> add(int fd, std::function<void()> readable) {
    // Shared by the map and the dispatch in hand: a callback may remove itself.
    auto watch = std::make_shared<Watch>(Watch{++generation_, std::move(readable), {}});
    TRY(control(EPOLL_CTL_ADD, fd, *watch));
    watches_[fd] = std::move(watch);
    return {};
  }
  // From now on also calls `writable` whenever `fd` takes bytes; an empty function ends that.
  Result<void> when_writable(int fd, std::function<void()> writable) {
    const auto found = watches_.find(fd);
    if (found == watches_.end()) return fail(ErrorCode::kInternal, "descriptor {} is not watched", fd);
    // A copy, so that a callback in progress is not destroyed by what it calls.
    auto watch = std::make_shared<Watch>(Watch{found->second->generation, found->second->readable, std::move(writable)});
    TRY(control(EPOLL_CTL_MOD, fd, *watch));
    found->second = std::move(watch);
    return {};
  }
  void remove(int fd) {
    if (watches_.erase(fd) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  }
  // Waits at most `limit` and runs what is ready. False when a signal interrupted.
  bool poll(std::chrono::milliseconds limit) {
    epoll_event events[kMaxEvents];
    const int n = ::epoll_wait(epoll_.get(), events, kMaxEvents, static_cast<int>(limit.count()));
    for (int i = 0; i < n; ++i) {
      if ((events[i].events & ~uint32_t{EPOLLOUT}) != 0)
        if (const auto watch = current(events[i])) watch->readable();
      if ((events[i].events & EPOLLOUT) != 0)
        if (const auto watch = current(events[i]); watch && watch->writable) watch->writable();
    }
    return n >= 0;
  }

 private:
  struct Watch {
    uint32_t generation;
    std::function<void()> readable, writable;
  };

  Result<void> control(int operation, int fd, const Watch& watch) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP | (watch.writable ? uint32_t{EPOLLOUT} : 0U);
    event.data.u64 = (uint64_t{watch.generation} << 32) | static_cast<uint32_t>(fd);
    if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) return fail_errno("epoll_ctl");
    return {};
  }
  // The registration that the event was made for, if it is still there.
  [[nodiscard]] std::shared_ptr<Watch> current(const epoll_event& event) const {
    const auto found = watches_.find(static_cast<int>(event.data.u64 & 0xFFFFFFFFU));
    return found != watches_.end() && found->second->generation == static_cast<uint32_t>(event.data.u64 >> 32) ? found->second : nullptr;
  }

  UniqueFd epoll_;
  uint32_t generation_ = 0;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
};

}  // namespace skerry::sandbox
