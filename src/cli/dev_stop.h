// DevStop: that `skerry dev` is to end, as a flag and a readable descriptor, for its lifetime: by SIGINT,
// SIGTERM or SIGHUP, or because `ended_fd` has hung up. A second signal changes nothing: the end is on its
// way.
#pragma once

#include <atomic>
#include <csignal>
#include <thread>

#include "base/unique_fd.h"

namespace skerry::cli {

class DevStop {
 public:
  explicit DevStop(int ended_fd = -1);  // -1: none
  ~DevStop();
  DevStop(const DevStop&) = delete;
  DevStop& operator=(const DevStop&) = delete;

  [[nodiscard]] const std::atomic<bool>& flag() const { return stopped_; }
  [[nodiscard]] int fd() const { return stopped_fd_.get(); }
  // Stopped because `ended_fd` hung up.
  [[nodiscard]] bool has_ended() const { return ended_; }

 private:
  void wait(int ended_fd);

  UniqueFd stopped_fd_;
  UniqueFd over_fd_;  // the object's own end, for the thread
  UniqueFd signal_fd_;
  sigset_t before_{};
  std::atomic<bool> stopped_{false};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace skerry::cli
