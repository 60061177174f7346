// BuildLog: what the tools of one build say. Kept whole in a file up to a bound, and passed line by line to whoever watches.
//
// Lines are what a terminal would show in the end: of a progress bar that redraws itself only the last state, without colours and other control
// sequences. Thread: control's loop.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "build/builder.h"
#include "loop/loop.h"

namespace skerry {

// One line as it is shown.
[[nodiscard]] std::string shown_line(std::string_view text);

class BuildLog {
 public:
  static constexpr uint64_t kMaxBytes = 16U << 20;
  static constexpr size_t kMaxLineBytes = 16U << 10;  // docs/api.md: log lines are cut there

  // Goes on with the log of that build, where there is one.
  static Result<BuildLog> create(const std::string& folder, const std::string& build_id, BuildProgress& progress);

  void stage(std::string_view name, StageState state, int64_t ms);
  // Raw output of a tool.
  void write(std::string_view stage, std::string_view bytes);
  // What is left of a last line without an end.
  void flush(std::string_view stage);
  void warning(std::string_view text);

  // Reads `pipe` to its end into this log.
  Task<void> copy(Loop& loop, UniqueFd pipe, std::string stage, Event& ended);
  // The last line of a tool that was not empty, as it is shown.
  [[nodiscard]] const std::string& last_line() const { return last_line_; }

 private:
  BuildLog(UniqueFd file, BuildProgress& progress) : file_(std::move(file)), progress_(&progress) {}
  void keep(std::string_view bytes);
  void line(std::string_view stage, std::string_view text);

  UniqueFd file_;
  BuildProgress* progress_;
  std::string partial_, last_line_;
  uint64_t kept_ = 0;
  bool full_ = false;
};

}  // namespace skerry
