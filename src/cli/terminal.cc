#include "cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace skerry::cli {
namespace {

std::string_view code_of(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kBold:
      return "1";
    case Style::kDim:
      return "2";
    case Style::kRed:
      return "31";
    case Style::kGreen:
      return "32";
    case Style::kYellow:
      return "33";
    case Style::kCyan:
      return "36";
  }
  return "";
}

std::string styled(bool colour, Style style, std::string_view text) {
  if (!colour || style == Style::kPlain) return std::string(text);
  return fmt::format("\033[{}m{}\033[0m", code_of(style), text);
}

void write_to(FILE* stream, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stream);
}

size_t columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 10 ? size.ws_col : 80;
}

// Characters, counting a UTF-8 sequence once.
size_t shown_width(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

namespace {
std::string escaped(std::string_view text, bool keep_line_breaks);
}

std::string visible(std::string_view text) {
  return escaped(text, false);
}
std::string visible_lines(std::string_view text) {
  return escaped(text, true);
}

namespace {
std::string escaped(std::string_view text, bool keep_line_breaks) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool c1 = c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c == '\n' && keep_line_breaks) {
      out += '\n';
    } else if ((c < 0x20 && c != '\t') || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else if (c1) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    } else {
      out += text[i];
    }
  }
  return out;
}
}  // namespace

Terminal::Terminal()
    : out_is_terminal_(::isatty(STDOUT_FILENO) == 1), err_is_terminal_(::isatty(STDERR_FILENO) == 1) {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::string_view(term) == "dumb";
  colour_ = (no_color == nullptr || *no_color == '\0') && !dumb;
}

void Terminal::print(std::string_view text) const {
  clear_status();
  write_to(stdout, text);
}

void Terminal::print_line(std::string_view text) const {
  print(text);
  write_to(stdout, "\n");
}

void Terminal::print_json(const json::value& value) const {
  print_line(json::serialize(value));
}

void Terminal::note(std::string_view text) const {
  clear_status();
  std::fflush(stdout);
  write_to(stderr, text);
  write_to(stderr, "\n");
}

void Terminal::warn(std::string_view text) const {
  note(styled_err(Style::kYellow, "warning: ") + std::string(text));
}

void Terminal::flush() const {
  std::fflush(stdout);
}

bool Terminal::out_is_broken() const {
  return std::ferror(stdout) != 0;
}

void Terminal::print_table(const std::vector<std::vector<std::string>>& rows) const {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], shown_width(row[i]));
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < rows[r].size(); ++i) {
      line += rows[r][i];
      if (i + 1 < rows[r].size()) line.append(widths[i] - shown_width(rows[r][i]) + 2, ' ');
    }
    print_line(r == 0 ? styled_out(Style::kBold, line) : line);
  }
}

void Terminal::status(std::string_view text) const {
  if (!err_is_terminal_) return;
  // Cut to the width: a line that wraps could not be taken back.
  std::string line;
  size_t width = 0;
  const size_t limit = columns() - 1;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80 && ++width > limit) break;
    line += c;
  }
  write_to(stderr, "\r\033[K");
  write_to(stderr, line);
  std::fflush(stderr);
  status_shown_ = true;
}

void Terminal::clear_status() const {
  if (!status_shown_) return;
  write_to(stderr, "\r\033[K");
  status_shown_ = false;
}

std::string Terminal::styled_out(Style style, std::string_view text) const {
  return styled(colour_ && out_is_terminal_, style, text);
}
std::string Terminal::styled_err(Style style, std::string_view text) const {
  return styled(colour_ && err_is_terminal_, style, text);
}

int64_t parse_rfc3339_ms(std::string_view text) {
  tm parts{};
  const std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return -1;
  int64_t ms = 0;
  if (*rest == '.') {
    int64_t scale = 100;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, scale /= 10) ms += (*rest - '0') * scale;
  }
  if (std::string_view(rest) != "Z") return -1;
  const time_t seconds = ::timegm(&parts);
  return seconds < 0 ? -1 : static_cast<int64_t>(seconds) * 1000 + ms;
}

std::string age(std::string_view rfc3339, int64_t now_ms) {
  const int64_t then = parse_rfc3339_ms(rfc3339);
  if (then < 0) return std::string(rfc3339);
  const int64_t seconds = std::max<int64_t>(0, now_ms - then) / 1000;
  if (seconds < 5) return "just now";
  if (seconds < 60) return fmt::format("{}s ago", seconds);
  if (seconds < 3600) return fmt::format("{}m ago", seconds / 60);
  if (seconds < 2 * 86400) return fmt::format("{}h ago", seconds / 3600);
  return fmt::format("{}d ago", seconds / 86400);
}

std::string format_bytes(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  if (bytes < 1024 * 1024) return fmt::format("{:.1f} KB", static_cast<double>(bytes) / 1024);
  if (bytes < 1024ULL * 1024 * 1024)
    return fmt::format("{:.1f} MB", static_cast<double>(bytes) / (1024 * 1024));
  return fmt::format("{:.1f} GB", static_cast<double>(bytes) / (1024.0 * 1024 * 1024));
}

std::string format_ms(int64_t ms) {
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 60'000) return fmt::format("{:.1f} s", static_cast<double>(ms) / 1000);
  return fmt::format("{}m{:02}s", ms / 60'000, ms / 1000 % 60);
}

}  // namespace skerry::cli
