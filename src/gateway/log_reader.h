// Reads what functions printed (runtime/function_log.h writes it): bounded pages of JSON lines, oldest first.
//
// Caller: the gateway, in one call or again and again while a client follows. Thread: control's loop; a look at a log that has not grown costs a
// directory listing. Segments that edge removes meanwhile are skipped.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "contract/ids.h"

namespace skerry {

struct LogQuery {
  int64_t since_ms = 0;
  int64_t until_ms = INT64_MAX;
  std::string request_id;     // "" for every line
  uint64_t after_cursor = 0;  // only lines after it
  size_t limit = 1000;
};
struct LogPage {
  std::string lines;  // as stored, each with its newline
  uint64_t last_cursor = 0;
  size_t count = 0;
};

class LogReader {
 public:
  static constexpr size_t kMaxLines = 10'000;           // of a page
  static constexpr size_t kMaxPageBytes = 16U << 20;    // the oldest of a longer page are left out
  static constexpr size_t kMaxSegmentBytes = 16U << 20;  // edge begins a new one at 4 MB
  explicit LogReader(std::string directory) : directory_(std::move(directory)) {}
  // Without `after_cursor`: the newest lines that fit. With it: the oldest after it.
  [[nodiscard]] Result<LogPage> read(const FunctionId& function, const LogQuery& query) const;

  // Gives the lines that were added since the look before; the first look begins at the end of what is there.
  class Follower {
   public:
    Follower(const LogReader& reader, const FunctionId& function) : folder_(reader.directory_ + "/" + function.str()) {}
    // At most kMaxPageBytes at a time; what is beyond comes with the next look.
    [[nodiscard]] LogPage look(const LogQuery& query);
    // From here on only what comes; call it before the read() whose lines are shown first, so that nothing falls between.
    void skip_to_end();

   private:
    std::string folder_;
    std::string segment_;   // the one that is being read
    uint64_t offset_ = 0;   // behind the last whole line that was read
  };

 private:
  std::string directory_;
};

}  // namespace skerry
