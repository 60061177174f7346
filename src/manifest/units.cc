#include "manifest/units.h"

#include <charconv>
#include <cmath>
#include <optional>

namespace skerry::manifest {
namespace {

inline constexpr double kMaxNumber = 1e12;  // far over every cap, far under what a double counts exactly

// The unsigned decimal number at the front of `text`, which is cut off.
std::optional<double> take_number(std::string_view& text) {
  if (text.empty() || !((text[0] >= '0' && text[0] <= '9') || text[0] == '.')) return std::nullopt;
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || value > kMaxNumber) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::string_view take_unit(std::string_view& text) {
  text = trim(text);
  size_t n = 0;
  while (n < text.size() && ((text[n] >= 'a' && text[n] <= 'z') || (text[n] >= 'A' && text[n] <= 'Z'))) ++n;
  const std::string_view unit = text.substr(0, n);
  text = trim(text.substr(n));
  return unit;
}

std::optional<int64_t> whole(double value) {
  const double rounded = std::round(value);
  if (std::abs(rounded - value) > 1e-6 || rounded > kMaxNumber) return std::nullopt;
  return static_cast<int64_t>(rounded);
}

}  // namespace

Result<int64_t> parse_size_mb(std::string_view text) {
  std::string_view rest = trim(text);
  const auto number = take_number(rest);
  if (!number)
    return fail(ErrorCode::kInvalidArgument,
                "`{}` is not a size; write a number and a unit, like \"256MB\" or \"1GB\"", text);
  const std::string_view unit = take_unit(rest);
  if (!rest.empty())
    return fail(ErrorCode::kInvalidArgument,
                "`{}` is not a size; write a number and a unit, like \"256MB\" or \"1GB\"", text);
  double factor = 0;
  if (unit == "MB" || unit == "MiB" || unit == "Mi" || unit == "M" || unit == "mb" || unit == "m")
    factor = 1;
  else if (unit == "GB" || unit == "GiB" || unit == "Gi" || unit == "G" || unit == "gb" || unit == "g")
    factor = 1024;
  else if (unit.empty())
    return fail(ErrorCode::kInvalidArgument, "`{}` has no unit; write \"{}MB\"", text, trim(text));
  else
    return fail(ErrorCode::kInvalidArgument, "`{}`: unknown unit `{}`; use MB or GB", text, unit);
  const auto mb = whole(*number * factor);
  if (!mb) return fail(ErrorCode::kInvalidArgument, "`{}` is not a whole number of megabytes", text);
  return *mb;
}

Result<int64_t> parse_duration_ms(std::string_view text) {
  std::string_view rest = trim(text);
  double total = 0;
  bool any = false;
  while (!rest.empty()) {
    const auto number = take_number(rest);
    if (!number)
      return fail(ErrorCode::kInvalidArgument,
                  "`{}` is not a duration; write like \"30s\", \"5m\" or \"1m30s\"", text);
    const std::string_view unit = take_unit(rest);
    double factor = 0;
    if (unit == "ms")
      factor = 1;
    else if (unit == "s" || unit == "sec")
      factor = 1000;
    else if (unit == "m" || unit == "min")
      factor = 60'000;
    else if (unit == "h")
      factor = 3'600'000;
    else if (unit == "d")
      factor = 86'400'000;
    else if (unit.empty())
      return fail(ErrorCode::kInvalidArgument, "`{}` has no unit; write \"{}s\"", text, trim(text));
    else
      return fail(ErrorCode::kInvalidArgument, "`{}`: unknown unit `{}`; use ms, s, m, h or d", text, unit);
    total += *number * factor;
    any = true;
  }
  const auto ms = whole(total);
  if (!any)
    return fail(ErrorCode::kInvalidArgument, "an empty duration; write like \"30s\", \"5m\" or \"1m30s\"");
  if (!ms) return fail(ErrorCode::kInvalidArgument, "`{}` is not a whole number of milliseconds", text);
  return *ms;
}

Result<int64_t> parse_cpu_millis(std::string_view text) {
  std::string_view rest = trim(text);
  const auto number = take_number(rest);
  if (number && (rest.empty() || rest == "m")) {
    if (const auto millis = whole(*number * (rest.empty() ? 1000.0 : 1.0))) return *millis;
  }
  return fail(ErrorCode::kInvalidArgument, "`{}` is not a share of processors; write like 0.5, 1 or 1500m",
              text);
}

std::string format_size_mb(int64_t mb) {
  return mb != 0 && mb % 1024 == 0 ? fmt::format("{}GB", mb / 1024) : fmt::format("{}MB", mb);
}

std::string format_duration_ms(int64_t ms) {
  if (ms % 1000 != 0 || ms == 0) return fmt::format("{}ms", ms);
  if (ms % 3'600'000 == 0) return fmt::format("{}h", ms / 3'600'000);
  if (ms % 60'000 == 0) return fmt::format("{}m", ms / 60'000);
  return fmt::format("{}s", ms / 1000);
}

}  // namespace skerry::manifest
