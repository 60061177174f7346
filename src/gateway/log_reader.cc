#include "gateway/log_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <filesystem>

#include "base/log.h"
#include "os/file.h"

namespace skerry {
namespace {

// The text of a field in a line that function_log wrote: `"key":"value"`. The values looked up here are never escaped, and a quote inside a printed
// line is, so that no function can forge one.
std::string_view field(std::string_view line, std::string_view pattern) {
  const size_t at = line.find(pattern);
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + pattern.size());
  return line.substr(0, line.find('"'));
}

uint64_t cursor_of(std::string_view line) {
  constexpr std::string_view kKey = "\"cursor\":";
  const size_t at = line.rfind(kKey);
  uint64_t value = 0;
  if (at != std::string_view::npos) std::from_chars(line.data() + at + kKey.size(), line.data() + line.size(), value);
  return value;
}

// What a query asks for, in the form that lines are compared with.
class Filter {
 public:
  explicit Filter(const LogQuery& query)
      : query_(query),
        since_(query.since_ms > 0 ? format_rfc3339_ms(query.since_ms) : ""),
        until_(query.until_ms < INT64_MAX ? format_rfc3339_ms(query.until_ms) : "~") {}
  [[nodiscard]] bool takes(std::string_view line) const {
    const std::string_view time = field(line.substr(0, 64), "\"time\":\"");
    if (time < since_ || time >= until_) return false;
    return query_.request_id.empty() || field(line, "\"request_id\":\"") == query_.request_id;
  }

 private:
  const LogQuery& query_;
  std::string since_, until_;
};

// Names, oldest first: the numbers in them have leading zeros.
std::vector<std::string> segments_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".jsonl") names.push_back(it->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// Calls `each(line)` with every whole line, its newline included, until it gives false.
template <typename F>
void for_each_line(std::string_view text, F each) {
  for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    if (!each(text.substr(0, end + 1))) return;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

Result<LogPage> LogReader::read(const FunctionId& function, const LogQuery& query) const {
  const std::string folder = directory_ + "/" + function.str();
  const Filter filter(query);
  const size_t limit = std::min(query.limit, kMaxLines);
  const bool oldest = query.after_cursor != 0;
  std::deque<std::string> kept;
  size_t bytes = 0;
  bool full = limit == 0;
  for (const std::string& name : segments_in(folder)) {
    if (full) break;
    auto text = read_file(folder + "/" + name, kMaxSegmentBytes);
    if (!text) continue;  // removed meanwhile
    for_each_line(*text, [&](std::string_view line) {
      if (oldest && cursor_of(line) <= query.after_cursor) return true;
      if (!filter.takes(line)) return true;
      if (oldest && (kept.size() == limit || bytes + line.size() > kMaxPageBytes)) {
        full = true;
        return false;
      }
      kept.emplace_back(line);
      bytes += line.size();
      while (kept.size() > limit || bytes > kMaxPageBytes) {
        bytes -= kept.front().size();
        kept.pop_front();
      }
      return true;
    });
  }
  LogPage page;
  page.last_cursor = query.after_cursor;
  page.lines.reserve(bytes);
  for (const std::string& line : kept) page.lines += line;
  if (!kept.empty()) page.last_cursor = cursor_of(kept.back());
  page.count = kept.size();
  return page;
}

void LogReader::Follower::skip_to_end() {
  const std::vector<std::string> names = segments_in(folder_);
  segment_ = names.empty() ? "" : names.back();
  offset_ = 0;
  if (segment_.empty()) return;
  // Behind the last whole line: the size alone may lie inside one that is being written.
  const auto text = read_file(folder_ + "/" + segment_, kMaxSegmentBytes);
  if (text) offset_ = text->rfind('\n') + 1;
}

LogPage LogReader::Follower::look(const LogQuery& query) {
  LogPage page;
  page.last_cursor = query.after_cursor;
  const Filter filter(query);
  for (const std::string& name : segments_in(folder_)) {
    if (name < segment_) continue;
    if (name != segment_) segment_ = name, offset_ = 0;
    auto fd = open_at(AT_FDCWD, folder_ + "/" + name, O_RDONLY | O_NOFOLLOW);
    struct stat st {};
    if (!fd || ::fstat(fd->get(), &st) != 0 || static_cast<uint64_t>(st.st_size) <= offset_) continue;
    if (::lseek(fd->get(), static_cast<off_t>(offset_), SEEK_SET) < 0) continue;
    auto text = read_all(fd->get(), kMaxSegmentBytes);
    if (!text) continue;
    bool full = false;
    for_each_line(*text, [&](std::string_view line) {
      full = page.lines.size() + line.size() > kMaxPageBytes;
      if (full) return false;
      offset_ += line.size();
      if (cursor_of(line) <= query.after_cursor || !filter.takes(line)) return true;
      page.lines += line;
      page.last_cursor = cursor_of(line);
      ++page.count;
      return true;
    });
    if (full) break;
  }
  return page;
}

}  // namespace skerry
