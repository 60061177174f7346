// DevGuard: a small process between `skerry dev` and the session's skerryd. However `skerry dev` ends, also
// by SIGKILL, the guard sees its end of a pipe close, stops skerryd and clears the session's folder.
//
// A fork of this program in a session of its own, so that Ctrl-C and a closed terminal reach only the parent.
// Holds the folder's lock. Is killed itself: skerryd dies with it, and the next `skerry dev` clears the
// folder.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "cli/dev_folder.h"

namespace skerry::cli {

inline constexpr int kStopTimeMs = 20'000;  // skerryd kills what has not ended after 15 s

class DevGuard {
 public:
  // Starts the guard, and through it skerryd from `programs`. Call while this process has one thread. The
  // guard takes the lock of `folder`.
  static Result<DevGuard> start(const std::string& programs, DevFolder& folder);
  ~DevGuard();
  DevGuard(DevGuard&& other) noexcept;
  DevGuard& operator=(DevGuard&&) = delete;
  DevGuard(const DevGuard&) = delete;

  // Hangs up when skerryd has ended by itself, or the guard was killed. The folder is there until finish().
  [[nodiscard]] int ended_fd() const { return ended_.get(); }

  // Has everything ended and cleared; until that is done. False where something stays (the guard says what on
  // standard error).
  bool finish();

 private:
  DevGuard(pid_t pid, UniqueFd lifeline, UniqueFd ended, std::string programs, const DevFolder& folder)
      : pid_(pid),
        lifeline_(std::move(lifeline)),
        ended_(std::move(ended)),
        programs_(std::move(programs)),
        tag_(folder.tag),
        path_(folder.path) {}

  pid_t pid_ = -1;
  UniqueFd lifeline_;  // writing end; the guard waits for its closing
  UniqueFd ended_;     // reading end; the guard closes the other when skerryd has ended
  std::string programs_;
  std::string tag_;
  std::string path_;
};

}  // namespace skerry::cli
