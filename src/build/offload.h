// off_loop(): a blocking piece of work (hash a large file, list an archive, drain a pipe) on a thread of its own, awaited from the loop.
//
// Called by the stages of a build, of which few run at a time; each call makes one thread. `work` owns all that it touches: the coroutine that
// waits may be destroyed first, and then the thread ends by itself and its result is dropped.
#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "loop/loop.h"

namespace skerry {

template <typename T>
Task<Result<T>> off_loop(Loop& loop, std::move_only_function<Result<T>()> work) {
  UniqueFd done(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  UniqueFd tell(::fcntl(done.get(), F_DUPFD_CLOEXEC, 0));
  if (!done || !tell) co_return fail_errno("eventfd");
  FdWatch watch(loop, done.get());
  CO_TRY(watch.status());
  struct Answer {
    std::optional<Result<T>> result;
    std::atomic<bool> ready = false;
  };
  // Two owners: this frame, and the thread, whichever ends last.
  auto answer = std::make_shared<Answer>();
  try {
    std::thread([answer, work = std::move(work), tell = std::move(tell)]() mutable {
      answer->result.emplace(work());
      work = nullptr;
      answer->ready.store(true, std::memory_order_release);
      const uint64_t one = 1;
      (void)!::write(tell.get(), &one, sizeof one);
    }).detach();
  } catch (const std::system_error& error) {
    co_return fail(ErrorCode::kNoCapacity, "no thread: {}", error.what());
  }
  uint64_t count = 0;
  while (!answer->ready.load(std::memory_order_acquire)) {
    if (::read(done.get(), &count, sizeof count) >= 0) continue;
    if (errno != EAGAIN && errno != EINTR) co_return fail_errno("wait for a thread");
    (void)co_await watch.readable().wait();
  }
  co_return std::move(*answer->result);
}

}  // namespace skerry
