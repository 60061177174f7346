// DevSkerry: a whole Skerry for one session of `skerry dev`: its folder, its configuration, and through the
// guard its skerryd. On loopback only; nothing of it is there before start() or after finish().
#pragma once

#include <memory>
#include <optional>

#include "cli/config.h"
#include "cli/dev_folder.h"
#include "cli/dev_guard.h"
#include "cli/dev_settings.h"

namespace skerry::cli {

inline constexpr int kReadyTimeMs = 60'000;  // base images are unpacked later, by the first build

class DevSkerry {
 public:
  // Clears what dead sessions left (`warn` is told of what could not be), then starts this one's skerryd.
  // Call while this process has one thread.
  static Outcome<std::unique_ptr<DevSkerry>> start(std::optional<uint16_t> http_port,
                                                   const std::function<void(const Error&)>& warn);

  // Until its gateway answers and its edge is connected to it, or `stop_fd` is readable.
  Outcome<> await_ready(int stop_fd);
  // For its gateway, once it is ready.
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] uint16_t http_port() const { return ports_.http; }
  [[nodiscard]] std::string ca_path() const { return folder_.ca_path(); }

  [[nodiscard]] int ended_fd() const {
    return guard_.ended_fd();
  }  // hangs up when skerryd has ended by itself
  // What to say then.
  [[nodiscard]] Failure ended() const;

  // Ends it and removes everything; until that is done. False where something stays.
  bool finish() { return guard_.finish(); }

 private:
  DevSkerry(DevFolder folder, DevPorts ports, DevGuard guard)
      : folder_(std::move(folder)), ports_(ports), guard_(std::move(guard)) {}
  [[nodiscard]] bool is_ready();

  DevFolder folder_;
  DevPorts ports_;
  DevGuard guard_;
  Config config_;
};

}  // namespace skerry::cli
