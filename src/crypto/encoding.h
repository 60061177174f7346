// base64 (RFC 4648: standard with padding, URL-safe without), hexadecimal, and comparison whose time does not
// depend on the bytes.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace skerry {

[[nodiscard]] std::string base64(std::string_view bytes);
[[nodiscard]] std::string base64_url(std::string_view bytes);
// Strict: no white space, right padding. kInvalidArgument without the text, which may be a secret.
Result<std::string> decode_base64(std::string_view text);
Result<std::string> decode_base64_url(std::string_view text);
[[nodiscard]] std::string hex(std::string_view bytes);

// SECURITY: for tokens and sums; a plain comparison tells by its time how many leading bytes were guessed.
// Lengths are not hidden.
[[nodiscard]] bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace skerry
