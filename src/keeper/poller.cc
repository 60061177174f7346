#include "keeper/poller.h"

namespace skerry::keeper {

Result<Poller> Poller::make() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("epoll_create1");
  return Poller(std::move(epoll));
}

Result<void> Poller::watch(int fd, uint32_t events, Handler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
  return {};
}

void Poller::unwatch(int fd) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Result<void> Poller::run_once(int timeout_ms) {
  constexpr int kEventsARound = 64;
  epoll_event events[kEventsARound];
  const int n = ::epoll_wait(epoll_.get(), events, kEventsARound, timeout_ms);
  if (n < 0 && errno != EINTR) return fail_errno("epoll_wait");
  for (int i = 0; i < n; ++i) static_cast<Handler*>(events[i].data.ptr)->on_ready();
  return {};
}

}  // namespace skerry::keeper
