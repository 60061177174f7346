// What functions print, kept on disk: <logs>/<function id>/<seq>.jsonl, one JSON object a line (docs/api.md, "Log lines"), segments of 4 MB,
// the oldest removed past kMaxSegments. Written by edge, read by control through the folder's group. Thread: edge's loop.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "contract/ids.h"

namespace skerry {

enum class LogStream : uint8_t { kStdout, kStderr, kSystem };

struct LogSource {
  FunctionId function;
  RevisionId revision;
  InstanceId instance;
};

class FunctionLog {
 public:
  static constexpr uint64_t kSegmentBytes = 4ULL << 20;
  static constexpr uint64_t kMaxSegments = 8;         // 32 MB a function
  static constexpr size_t kMaxLineBytes = 16 * 1024;  // longer lines are cut and say so
  static constexpr size_t kMaxOpenFiles = 512;

  // `directory` exists. A function's own folder is made at its first line.
  FunctionLog(const Clock& clock, const Logger& logger, std::string directory, std::string location);

  void append(const LogSource& source, LogStream stream, std::string_view request_id, std::string_view line);

 private:
  struct File {
    UniqueFd fd;
    uint64_t sequence = 0;
    uint64_t bytes = 0;
    uint64_t next_cursor = 0;
    TimePoint used{};
  };
  Result<File*> file_of(const FunctionId& function);
  Result<void> open_segment(const std::string& folder, File& file);
  void close_least_used();

  const Clock& clock_;
  const Logger& logger_;
  std::string directory_;
  std::string location_;
  std::unordered_map<FunctionId, File> files_;
  bool complained_ = false;
};

// Cuts a byte stream into lines of at most FunctionLog::kMaxLineBytes. Invalid UTF-8 is kept; the log escapes it.
class LineCutter {
 public:
  // Calls `emit(line)` for each complete line in what came so far.
  template <typename F>
  void feed(std::string_view bytes, F emit) {
    while (!bytes.empty()) {
      const size_t end = bytes.find('\n');
      const std::string_view part = bytes.substr(0, end);
      if (partial_.size() + part.size() <= FunctionLog::kMaxLineBytes) partial_ += part;
      else partial_ += part.substr(0, FunctionLog::kMaxLineBytes + 1 - std::min(partial_.size(), FunctionLog::kMaxLineBytes + 1));
      if (end == std::string_view::npos) return;
      bytes.remove_prefix(end + 1);
      emit(std::string_view(partial_));
      partial_.clear();
    }
  }
  // The last line, without its newline.
  template <typename F>
  void finish(F emit) {
    if (!partial_.empty()) emit(std::string_view(partial_));
    partial_.clear();
  }

 private:
  std::string partial_;  // at most one byte past the bound, which marks it as cut
};

}  // namespace skerry
