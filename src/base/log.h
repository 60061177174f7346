// Logger: JSON lines to one descriptor, a write a line (or for several, by who appends them), no global registry, safe to use after fork.
//
// Every process makes one in main() and passes it by reference. Thread-safe: a line is one write(2) of at most kMaxLine bytes;
// longer values are cut. Field values are escaped here, so hostile text cannot forge a line.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace skerry {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

// One key and value of a log line. Numbers keep their type. Borrows its text: made in the call that logs it, and not kept.
struct LogField {
  LogField(std::string_view k, std::string_view v) : key(k), text(v) {}
  LogField(std::string_view k, const char* v) : key(k), text(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), text(v) {}
  template <typename T>
    requires std::is_arithmetic_v<T>
  LogField(std::string_view k, T v) : key(k), number_bytes(static_cast<size_t>(fmt::format_to_n(number, sizeof number, "{}", v).out - number)) {}

  std::string_view key;
  std::string_view text;
  char number[32];  // the shortest text of any number fits
  size_t number_bytes = 0;  // 0: it is text
};

class Logger {
 public:
  static constexpr size_t kMaxLine = 8192;

  // Does not own `fd`. `process` and `location` stand in every line.
  Logger(int fd, std::string process, std::string location = "local") : fd_(fd), process_(std::move(process)), location_(std::move(location)) {}

  void set_level(LogLevel level) { level_ = level; }
  void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {}) const;
  // For who writes many lines at once: the line that log() would write, with its line break, at the end of `out`; and the write, as it is.
  void append(std::string& out, LogLevel level, std::string_view message, std::initializer_list<LogField> fields) const;
  void write(std::string_view lines) const;
  void debug(std::string_view m, std::initializer_list<LogField> f = {}) const { log(LogLevel::kDebug, m, f); }
  void info(std::string_view m, std::initializer_list<LogField> f = {}) const { log(LogLevel::kInfo, m, f); }
  void warn(std::string_view m, std::initializer_list<LogField> f = {}) const { log(LogLevel::kWarn, m, f); }
  void error(std::string_view m, std::initializer_list<LogField> f = {}) const { log(LogLevel::kError, m, f); }

 private:
  int fd_;
  std::string process_;
  std::string location_;
  LogLevel level_ = LogLevel::kInfo;
};

// Appends `text` as the inside of a JSON string (no quotes); bytes that are not UTF-8 become U+FFFD.
void append_json_escaped(std::string& out, std::string_view text);

// "2026-11-23T18:40:01.123Z"
[[nodiscard]] std::string format_rfc3339_ms(int64_t unix_ms);

}  // namespace skerry
