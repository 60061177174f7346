// Terminal: where the CLI's words go. Results to standard output, everything said on the way to standard
// error.
//
// Colour only on a terminal, never with NO_COLOR or TERM=dumb. Text that came from a function or from the
// gateway passes visible() first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "json/json.h"

namespace skerry::cli {

enum class Style { kPlain, kBold, kDim, kRed, kGreen, kYellow, kCyan };

// SECURITY: control characters become \xNN: a log line must not move the cursor, retitle the window or paste
// into the reader's terminal. Tabs stay; bytes over 0x7f stay (UTF-8), but for the C1 controls
// U+0080..U+009F.
[[nodiscard]] std::string visible(std::string_view text);

// The same, but for line breaks, which stay.
[[nodiscard]] std::string visible_lines(std::string_view text);

class Terminal {
 public:
  Terminal();  // looks at descriptors 1 and 2 and the environment

  void print(std::string_view text) const;       // standard output, as it is
  void print_line(std::string_view text) const;  // .. and a line break
  void print_json(const json::value& value) const;
  void note(std::string_view text) const;  // standard error, a line
  void warn(std::string_view text) const;
  void flush() const;
  // Standard output cannot be written any more (`| head` has ended): a stream of lines should end as well.
  [[nodiscard]] bool out_is_broken() const;

  // Columns of the widest cell; the first row is the heading.
  void print_table(const std::vector<std::vector<std::string>>& rows) const;

  // A line on standard error that the next status(), note() or print() replaces. Does nothing where there is
  // no terminal.
  void status(std::string_view text) const;
  void clear_status() const;

  [[nodiscard]] std::string styled_out(Style style, std::string_view text) const;
  [[nodiscard]] std::string styled_err(Style style, std::string_view text) const;
  [[nodiscard]] bool out_is_terminal() const { return out_is_terminal_; }
  [[nodiscard]] bool err_is_terminal() const { return err_is_terminal_; }

 private:
  bool out_is_terminal_ = false;
  bool err_is_terminal_ = false;
  bool colour_ = false;
  mutable bool status_shown_ = false;
};

// "3m ago", "just now"; `then` is RFC 3339; what does not parse is given back as it is.
[[nodiscard]] std::string age(std::string_view rfc3339, int64_t now_ms);
// Unix milliseconds of "2026-11-23T18:40:01.123Z" (fraction optional), or -1.
[[nodiscard]] int64_t parse_rfc3339_ms(std::string_view text);
[[nodiscard]] std::string format_bytes(uint64_t bytes);
[[nodiscard]] std::string format_ms(int64_t ms);

}  // namespace skerry::cli
