// Scratch disks that wait for their instances, one of each size that was used lately. starter's; filler makes them (scratch_image.h).
//
// Functions without `[runtime] scratch` pay nothing for it: nothing is connected or made before the first that has it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

#include "base/result.h"
#include "base/unique_fd.h"
#include "sandboxd/poller.h"

namespace skerry::sandbox {

class ScratchPool {
 public:
  static constexpr size_t kMaxReady = 4;   // each holds a loop device, and its size of the budget
  static constexpr size_t kMaxAsked = 64;  // of filler, and not yet answered

  using Connect = std::function<Result<UniqueFd>()>;
  // Of each disk that was asked for, from the poller: it is there to be taken, or why it is not.
  using Answered = std::function<void(uint64_t bytes, const Result<void>& made)>;

  ScratchPool(Poller& poller, Connect connect, Answered answered) : poller_(poller), connect_(std::move(connect)), answered_(std::move(answered)) {}

  // A disk of that size that nobody has used, and another is asked for in its place; an invalid descriptor when there is none.
  UniqueFd take(uint64_t bytes);
  // Has filler make disks until so many of that size are ready or on their way. To be called again where filler does not answer.
  void want(uint64_t bytes, size_t count);
  // Gives up what is ready, for the room that it takes. False when nothing is.
  bool drop_ready();

 private:
  struct Ready {
    uint64_t bytes;
    UniqueFd mount;
  };
  void on_answer();

  Poller& poller_;
  const Connect connect_;
  const Answered answered_;
  UniqueFd filler_;
  std::deque<Ready> ready_;     // oldest first
  std::deque<uint64_t> asked_;  // sizes, in the order of their answers
};

}  // namespace skerry::sandbox
