#include "gateway/log_reader.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <deque>
#include <filesystem>

#include "base/log.h"
#include "os/file.h"

namespace skerry {
namespace {

constexpr size_t kMaxSegmentBytes = 16U << 20;

// The text of a field in a line that function_log wrote: `"key":"value"`. Values looked up here are never escaped.
std::string_view field(std::string_view line, std::string_view key) {
  const std::string pattern = fmt::format("\"{}\":\"", key);
  const size_t at = line.find(pattern);
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + pattern.size());
  return line.substr(0, line.find('"'));
}

uint64_t cursor_of(std::string_view line) {
  const size_t at = line.rfind("\"cursor\":");
  uint64_t value = 0;
  if (at != std::string_view::npos) std::from_chars(line.data() + at + 9, line.data() + line.size(), value);
  return value;
}

}  // namespace

Result<LogPage> LogReader::read(const FunctionId& function, const LogQuery& query) const {
  std::vector<std::string> segments;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/" + function.str(), error))
    if (entry.path().extension() == ".jsonl") segments.push_back(entry.path().string());
  std::sort(segments.begin(), segments.end());
  const std::string since = query.since_ms > 0 ? format_rfc3339_ms(query.since_ms) : "";
  const std::string until = query.until_ms < INT64_MAX ? format_rfc3339_ms(query.until_ms) : "~";
  const size_t limit = std::min(query.limit, kMaxLines);
  std::deque<std::string> kept;
  LogPage page;
  page.last_cursor = query.after_cursor;
  for (const std::string& path : segments) {
    auto text = read_file(path, kMaxSegmentBytes);
    if (!text) continue;  // removed meanwhile
    std::string_view rest = *text;
    for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      const std::string_view line = rest.substr(0, end + 1);
      rest.remove_prefix(end + 1);
      const std::string_view time = field(line.substr(0, 64), "time");
      if (time < since || time >= until) continue;
      if (!query.request_id.empty() && field(line, "request_id") != query.request_id) continue;
      const uint64_t cursor = cursor_of(line);
      if (query.after_cursor != 0 && cursor <= query.after_cursor) continue;
      if (query.after_cursor != 0 && kept.size() >= limit) break;
      kept.emplace_back(line);
      if (kept.size() > limit) kept.pop_front();
    }
  }
  for (const std::string& line : kept) {
    page.lines += line;
    page.last_cursor = std::max(page.last_cursor, cursor_of(line));
  }
  page.count = kept.size();
  return page;
}

void LogReader::remove(const FunctionId& function) const {
  std::error_code ignored;
  std::filesystem::remove_all(directory_ + "/" + function.str(), ignored);
}

}  // namespace skerry
