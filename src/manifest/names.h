// Names: what a function, a binding and an environment variable may be called, and what a mistyped word was
// meant to be.
//
// Pure; used by the manifest reader and by the CLI. The gateway checks the same rules again: these are a
// courtesy with a better message.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "contract/function_config.h"

namespace skerry::manifest {

inline constexpr size_t kMaxFunctionName =
    limits::kFunctionNameBytes;                // with "<tag 7>--" and "-<id 10>" it fits a DNS label of 63
inline constexpr size_t kMaxBindingName = 64;  // an identifier in the author's code
inline constexpr size_t kMaxEnvNameBytes = limits::kEnvNameBytes;
inline constexpr size_t kMaxWordForNearest = 64;  // longer words are not compared: the distance is quadratic

// [a-z]([a-z0-9-]*[a-z0-9])?, 1..kMaxFunctionName, no "--". The error says which rule is broken and proposes
// a name.
Result<void> check_function_name(std::string_view name);
// The nearest valid function name: lower case, other characters to '-', cut at a word boundary. Always valid;
// "function" if nothing is left.
[[nodiscard]] std::string propose_function_name(std::string_view raw);

// [A-Za-z_][A-Za-z0-9_]*, up to kMaxEnvNameBytes, and none that the platform sets itself (PORT, SKERRY_*,
// K_*).
Result<void> check_env_name(std::string_view name);
// [A-Za-z_$][A-Za-z0-9_$]*, up to kMaxBindingName.
Result<void> check_binding_name(std::string_view name);

// Well-formed UTF-8: no overlong forms, no surrogates.
[[nodiscard]] bool is_utf8(std::string_view text);

// The candidate that `word` was probably meant to be: fewest edits (swapped neighbours count one), at most a
// third of its length.
[[nodiscard]] std::optional<std::string> nearest(std::string_view word,
                                                 std::span<const std::string_view> candidates);
[[nodiscard]] std::optional<std::string> nearest(std::string_view word,
                                                 std::span<const std::string> candidates);

}  // namespace skerry::manifest
