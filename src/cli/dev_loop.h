// DevLoop: ships a folder, and again at every change, with the function's log in the terminal, until told to
// stop. What is wrong with a change is told, and the next one is waited for. `skerry dev` on either gateway.
//
// Three threads: the caller's watches and ships, one follows the log, one (DevStop) waits for signals.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/change_tracker.h"
#include "cli/dev_logs.h"
#include "cli/dev_stop.h"
#include "cli/project.h"
#include "cli/session.h"

namespace skerry::cli {

// What differs between a session of one's own and the gateway that is configured.
struct DevHooks {
  // Before a ship: what the function needs at the gateway. A failure is told, and nothing is shipped.
  std::function<Outcome<>(Session&, const Project&)> prepare;
  // After a ship that succeeded, with its `done` event.
  std::function<void(const json::object&)> announce;
  // Files of the folder that are followed though they are not uploaded.
  std::span<const std::string_view> also_followed;
};

class DevLoop {
 public:
  DevLoop(Session& session, ProjectOptions options, DevHooks hooks, const DevStop& stop)
      : session_(session), options_(std::move(options)), hooks_(std::move(hooks)), stop_(stop) {}

  // Until `stop`. Fails only where the next change could not do better: no such folder, or a gateway that
  // is away or refuses.
  Outcome<> run();

  // Of the function at the gateway, once a ship was tried; else "".
  [[nodiscard]] const std::string& function() const { return name_; }

 private:
  Outcome<> round(const Project& project);
  Outcome<> ship(const Project& project);
  void tell(const Failure& failure) const;
  [[nodiscard]] std::vector<std::string> folders(const Project* project) const;
  [[nodiscard]] ChangeTracker::Snapshot snapshot(const Project& project) const;

  Session& session_;
  ProjectOptions options_;
  DevHooks hooks_;
  const DevStop& stop_;
  std::string since_;
  std::string name_;
  bool answers_ = false;  // a ship has succeeded
  ChangeTracker tracker_;
  std::unique_ptr<DevLogs> logs_;
};

}  // namespace skerry::cli
