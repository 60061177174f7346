// Log lines of a function as text, and the moments that --since and --until name. Shared by logs, usage and
// dev.
#pragma once

#include <string>
#include <string_view>

#include "cli/session.h"

namespace skerry::cli {

// "18:40:01.123 3f2a1c stdout  the line"; the request id's beginning where there is one.
[[nodiscard]] std::string log_text(const Terminal& terminal, const json::object& line);

// "10m" (ago) or an RFC 3339 time -> RFC 3339; "" stays "".
Outcome<std::string> parse_moment(std::string_view text, std::string_view option, int64_t now_ms);

}  // namespace skerry::cli
