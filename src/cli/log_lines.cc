#include "cli/log_lines.h"

#include "base/log.h"
#include "manifest/units.h"

namespace skerry::cli {

std::string log_text(const Terminal& t, const json::object& line) {
  const std::string time = text_at(line, "time");
  const std::string stream = text_at(line, "stream");
  const std::string request = text_at(line, "request_id");
  const Style style = stream == "stderr" ? Style::kYellow : stream == "system" ? Style::kCyan : Style::kPlain;
  const json::value* cut = line.if_contains("truncated");
  std::string out = t.styled_out(Style::kDim, time.size() == 24 ? time.substr(11, 12) : visible(time));
  out += " " + t.styled_out(style, fmt::format("{:<6}", visible(stream)));
  if (!request.empty()) out += " " + t.styled_out(Style::kDim, visible(request.substr(0, 8)));
  out += " " + visible(text_at(line, "line"));
  if (cut != nullptr && cut->is_bool() && cut->get_bool())
    out += t.styled_out(Style::kDim, " [cut at 16 KB]");
  return out;
}

Outcome<std::string> parse_moment(std::string_view text, std::string_view option, int64_t now_ms) {
  if (text.empty()) return std::string();
  if (const int64_t at = parse_rfc3339_ms(text); at >= 0) return format_rfc3339_ms(at);
  const auto ago = manifest::parse_duration_ms(text);
  if (!ago)
    return usage_error("{}: `{}` is neither a time like 2026-11-23T18:40:00Z nor a duration like 10m", option,
                       text);
  return format_rfc3339_ms(std::max<int64_t>(0, now_ms - *ago));
}

}  // namespace skerry::cli
