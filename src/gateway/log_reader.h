// Reads what functions printed (runtime/function_log.h writes it): bounded pages of JSON lines, oldest first.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "contract/ids.h"

namespace skerry {

struct LogQuery {
  int64_t since_ms = 0;
  int64_t until_ms = INT64_MAX;
  std::string request_id;
  uint64_t after_cursor = 0;
  size_t limit = 1000;
};
struct LogPage {
  std::string lines;  // as stored, each with its newline
  uint64_t last_cursor = 0;
  size_t count = 0;
};

class LogReader {
 public:
  static constexpr size_t kMaxLines = 10'000;
  explicit LogReader(std::string directory) : directory_(std::move(directory)) {}
  // Without `after_cursor`: the newest `limit` lines that fit. With it: the oldest after it.
  [[nodiscard]] Result<LogPage> read(const FunctionId& function, const LogQuery& query) const;
  void remove(const FunctionId& function) const;

 private:
  std::string directory_;
};

}  // namespace skerry
