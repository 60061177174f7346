// ShipProgress: the progress events of a ship (docs/api.md) shown as they come, and what they end in.
//
// On a terminal one line a finished stage and one moving line; elsewhere plain lines, so that a build
// server's log reads well. With --json silent.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/exit.h"
#include "cli/session.h"

namespace skerry::cli {

class ShipProgress {
 public:
  explicit ShipProgress(const Session& session) : session_(session) {}

  void begin(std::string_view stage);  // the CLI's own stages: pack, upload
  void done(std::string_view stage, std::string_view remark);
  void uploaded(uint64_t sent, uint64_t total);
  // One event; false after the last (done or error).
  bool event(json::object&& event);

  // The `done` event, or the failure of the `error` event or of a stream that broke off.
  Outcome<json::object> result();
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  void stage_event(const json::object& event);
  void log_event(const json::object& event);

  const Session& session_;
  std::string stage_;
  std::vector<std::string> warnings_;
  json::object done_;
  json::object error_;
  int last_percent_ = -1;
};

// Prints what a failed build or start left: the last lines of its log, and where the whole log is.
void print_failure_log(const Terminal& terminal, const Failure& failure);

}  // namespace skerry::cli
