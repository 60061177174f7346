#include "base/log.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>

namespace skerry {
namespace {

constexpr std::string_view kLevelNames[] = {"debug", "info", "warn", "error"};

// Length of the valid UTF-8 sequence at the start of `s`, 0 if there is none.
size_t utf8_sequence(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const auto continuation = [&](size_t i) { return i < s.size() && (byte(i) & 0xC0) == 0x80; };
  const unsigned char c = byte(0);
  if (c < 0x80) return 1;
  if (c >= 0xC2 && c <= 0xDF) return continuation(1) ? 2 : 0;
  if (c >= 0xE0 && c <= 0xEF) {
    if (!continuation(1) || !continuation(2)) return 0;
    if (c == 0xE0 && byte(1) < 0xA0) return 0;
    if (c == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (c >= 0xF0 && c <= 0xF4) {
    if (!continuation(1) || !continuation(2) || !continuation(3)) return 0;
    if (c == 0xF0 && byte(1) < 0x90) return 0;
    if (c == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

void append_json_escaped(std::string& out, std::string_view text) {
  const auto is_plain = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; };
  while (!text.empty()) {
    const size_t plain = static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_plain) - text.begin());
    out.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) return;
    const char c = text.front();
    size_t used = 1;
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
        } else if (const size_t n = utf8_sequence(text); n > 0) {
          out.append(text.substr(0, n));
          used = n;
        } else {
          out += "\\ufffd";
        }
    }
    text.remove_prefix(used);
  }
}

std::string format_rfc3339_ms(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm tm{};
  gmtime_r(&seconds, &tm);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                     tm.tm_min, tm.tm_sec, unix_ms % 1000);
}

void Logger::log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) const {
  if (level < level_) return;
  std::string line;
  append(line, level, message, fields);
  write(line);
}

void Logger::append(std::string& line, LogLevel level, std::string_view message, std::initializer_list<LogField> fields) const {
  using namespace std::chrono;
  const int64_t now_ms = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
  const size_t begin = line.size();
  fmt::format_to(std::back_inserter(line), R"({{"time":"{}","level":"{}","process":"{}","location":"{}","message":")", format_rfc3339_ms(now_ms),
                 kLevelNames[static_cast<int>(level)], process_, location_);
  append_json_escaped(line, message);
  line += '"';
  for (const LogField& field : fields) {
    const size_t before = line.size();
    line += ",\"";
    append_json_escaped(line, field.key);
    line += "\":";
    if (field.number_bytes > 0) {
      line.append(field.number, field.number_bytes);
    } else {
      line += '"';
      append_json_escaped(line, field.text);
      line += '"';
    }
    if (line.size() - begin > kMaxLine - 64) {  // drops the field that does not fit and says so; the line stays valid JSON
      line.resize(before);
      line += ",\"truncated\":true";
      break;
    }
  }
  line += "}\n";
}

void Logger::write(std::string_view lines) const {
  // A log that cannot be written must not stop the process; there is nowhere left to say so.
  [[maybe_unused]] const ssize_t written = ::write(fd_, lines.data(), lines.size());
}

}  // namespace skerry
