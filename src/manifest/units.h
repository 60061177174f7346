// Sizes, durations and shares of a processor as people write them: "256MB", "1.5GB", "30s", "1m30s", "0.5".
//
// A megabyte is 2^20 bytes, written MB, MiB, Mi or M. Values are whole megabytes, milliseconds and
// thousandths of a core.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace skerry::manifest {

Result<int64_t> parse_size_mb(std::string_view text);
Result<int64_t> parse_duration_ms(std::string_view text);
Result<int64_t> parse_cpu_millis(std::string_view text);

// "512MB", "1GB"; "30s", "5m", "1500ms"; the shortest exact form.
[[nodiscard]] std::string format_size_mb(int64_t mb);
[[nodiscard]] std::string format_duration_ms(int64_t ms);

}  // namespace skerry::manifest
