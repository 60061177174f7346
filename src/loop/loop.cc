#include "loop/loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace skerry {
namespace {
constexpr uint32_t kReadEvents = EPOLLIN | EPOLLRDHUP | EPOLLET;
}  // namespace

// ---- Event

Event::~Event() { assert(waiter_ == nullptr && "an Event dies only after its waiter"); }

void Event::set() {
  if (waiter_ == nullptr) {
    set_ = true;
    return;
  }
  Awaiter* waiter = std::exchange(waiter_, nullptr);
  waiter->event_ = nullptr;
  loop_->make_ready(waiter->node_, Wake::kSet);
}

Event::Awaiter Event::wait(TimePoint deadline) { return {*this, deadline}; }

bool Event::Awaiter::await_ready() {
  if (!event_->set_) return false;
  event_->set_ = false;
  event_ = nullptr;
  return true;
}

void Event::Awaiter::await_suspend(std::coroutine_handle<> handle) {
  assert(event_->waiter_ == nullptr && "one waiter an Event");
  loop_ = event_->loop_;
  event_->waiter_ = this;
  node_.handle = handle;
  node_.event_awaiter = this;
  if (node_.deadline != kNoDeadline) loop_->add_timer(node_);
}

Event::Awaiter::~Awaiter() {
  if (event_ != nullptr && event_->waiter_ == this) event_->waiter_ = nullptr;
  if (loop_ != nullptr) loop_->forget(node_);
}

// ---- FdWatch

FdWatch::FdWatch(Loop& loop, int fd) : loop_(loop), fd_(fd), readable_(loop), writable_(loop) {
  epoll_event event{};
  event.events = kReadEvents;
  event.data.ptr = this;
  if (::epoll_ctl(loop.epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) error_ = errno;
}

Event& FdWatch::writable() {
  if (!asks_writable_ && error_ == 0) {
    asks_writable_ = true;
    epoll_event event{};
    event.events = kReadEvents | EPOLLOUT;
    event.data.ptr = this;
    // Tells at once where it is writable already: nothing is missed between a write that failed and this.
    if (::epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_MOD, fd_, &event) != 0) writable_.set();
  }
  return writable_;
}

FdWatch::~FdWatch() {
  if (error_ == 0) ::epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
  loop_.forget_watch(this);
}

Result<void> FdWatch::status() const {
  if (error_ != 0) return std::unexpected(Error::from_errno(error_, "watch descriptor"));
  return {};
}

void FdWatch::dispatch(uint32_t events) {
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) readable_.set();
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) writable_.set();
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 && !hung_up_) {
    hung_up_ = true;
    if (hangup_) hangup_();
  }
}

void FdWatch::wake_all() {
  readable_.set();
  writable_.set();
}

// ---- Loop

Result<std::unique_ptr<Loop>> Loop::create(const Clock& clock) {
  // A peer that closes early is an error value (EPIPE), never a signal; OpenSSL's socket writes have no MSG_NOSIGNAL.
  ::signal(SIGPIPE, SIG_IGN);
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("epoll_create1");
  UniqueFd wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup) return fail_errno("eventfd");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // nullptr marks the wake-up descriptor
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wakeup.get(), &event) != 0) return fail_errno("epoll_ctl");
  return std::unique_ptr<Loop>(new Loop(clock, std::move(epoll), std::move(wakeup)));
}

Loop::Loop(const Clock& clock, UniqueFd epoll, UniqueFd wakeup) : clock_(clock), epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {}
Loop::~Loop() = default;

void Loop::make_ready(WaitNode& node, Wake wake) {
  remove_timer(node);
  node.wake = wake;
  node.queued = true;
  ready_.push_back(&node);
}

void Loop::forget(WaitNode& node) {
  remove_timer(node);
  if (!node.queued) return;
  std::replace(ready_.begin(), ready_.end(), &node, static_cast<WaitNode*>(nullptr));
  node.queued = false;
}

// Restores the heap order around `index` in whichever direction is needed.
void Loop::sift(size_t index) {
  const auto swap_nodes = [&](size_t a, size_t b) {
    std::swap(timers_[a], timers_[b]);
    timers_[a]->heap_index = a;
    timers_[b]->heap_index = b;
  };
  while (index > 0 && timers_[index]->deadline < timers_[(index - 1) / 2]->deadline) {
    swap_nodes(index, (index - 1) / 2);
    index = (index - 1) / 2;
  }
  for (;;) {
    size_t least = index;
    for (const size_t child : {2 * index + 1, 2 * index + 2}) {
      if (child < timers_.size() && timers_[child]->deadline < timers_[least]->deadline) least = child;
    }
    if (least == index) return;
    swap_nodes(index, least);
    index = least;
  }
}

void Loop::add_timer(WaitNode& node) {
  node.heap_index = timers_.size();
  timers_.push_back(&node);
  sift(node.heap_index);
}

void Loop::remove_timer(WaitNode& node) {
  if (node.heap_index == SIZE_MAX) return;
  const size_t index = node.heap_index;
  node.heap_index = SIZE_MAX;
  WaitNode* last = timers_.back();
  timers_.pop_back();
  if (last == &node) return;
  timers_[index] = last;
  last->heap_index = index;
  sift(index);
}

void Loop::drain() {
  do {
    while (!ready_.empty()) {
      WaitNode* node = ready_.front();
      ready_.pop_front();
      if (node == nullptr) continue;
      node->queued = false;
      node->handle.resume();
    }
    for (const auto& work : std::exchange(deferred_, {})) work();
  } while (!ready_.empty() || !deferred_.empty());
}

void Loop::run_posted() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(posted_mutex_);
    work.swap(posted_);
  }
  for (auto& f : work) f();
}

void Loop::forget_watch(FdWatch* watch) {
  std::replace(dispatching_.begin(), dispatching_.end(), watch, static_cast<FdWatch*>(nullptr));
}

void Loop::poll(Duration limit) {
  if (!timers_.empty()) limit = std::min(limit, std::max(Duration::zero(), timers_.front()->deadline - now()));
  std::array<epoll_event, 128> events;
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(std::min<Duration>(limit, std::chrono::seconds(60))).count();
  const timespec at_most{ns / 1'000'000'000, ns % 1'000'000'000};
  const int n = ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()), &at_most, nullptr);  // Linux 5.11; epoll_wait() knows no part of a millisecond
  dispatching_.clear();
  for (int i = 0; i < n; ++i) dispatching_.push_back(static_cast<FdWatch*>(events[static_cast<size_t>(i)].data.ptr));
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    if (event.data.ptr == nullptr) {
      uint64_t count = 0;
      [[maybe_unused]] const ssize_t got = ::read(wakeup_.get(), &count, sizeof count);
    } else if (FdWatch* watch = dispatching_[static_cast<size_t>(i)]; watch != nullptr) {
      watch->dispatch(event.events);
    }
  }
  dispatching_.clear();
  run_posted();
  while (!timers_.empty() && timers_.front()->deadline <= now()) {
    WaitNode* node = timers_.front();
    if (Event::Awaiter* awaiter = node->event_awaiter; awaiter != nullptr && awaiter->event_ != nullptr) {
      awaiter->event_->waiter_ = nullptr;
      awaiter->event_ = nullptr;
    }
    make_ready(*node, Wake::kTimeout);
  }
}

void Loop::run() {
  while (!stopping_) {
    drain();
    if (stopping_) break;
    poll(std::chrono::seconds(60));
  }
  stopping_ = false;
}

void Loop::run_ready() {
  do {
    poll(Duration::zero());
    drain();
  } while (!ready_.empty());
}

bool Loop::run_until(const std::function<bool()>& done, Duration limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  drain();
  while (!done()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    poll(std::chrono::milliseconds(20));
    drain();
  }
  return true;
}

void Loop::stop() {
  post([this] { stopping_ = true; });
}

void Loop::post(std::function<void()> work) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(work));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wakeup_.get(), &one, sizeof one);
}

Task<void> Loop::sleep_until(TimePoint deadline) {
  Event never(*this);
  (void)co_await never.wait(deadline);
}

}  // namespace skerry
