// What is inside a sealed box of secrets: the names and values that one revision's containers get. Written by
// vault, read by keeper.
//
// One version byte, a count, then name and value of each as wire strings (wire.h). Names are environment
// names: not empty, without '=' and NUL, each once; values are any bytes but NUL. Both sides work in memory
// that the caller owns (and locks), so that no copy of a value is left behind in a buffer that was outgrown.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skerry {

inline constexpr size_t kMaxSecretEntries = 200;  // 100 secrets, each under its name and its binding
inline constexpr size_t kMaxSecretNameBytes = 256;
inline constexpr size_t kMaxSecretValueBytes = 10 * 1024;
inline constexpr size_t kMaxSecretBlobBytes =
    5 + kMaxSecretEntries * (8 + kMaxSecretNameBytes + kMaxSecretValueBytes);

// Views of memory that somebody else owns.
struct SecretView {
  std::string_view name;
  std::string_view value;
};

// Checks every bound; the error names the secret, never its value.
Result<void> check_secrets(std::span<const SecretView> secrets);
// Bytes that write_secret_blob will need.
[[nodiscard]] size_t secret_blob_bytes(std::span<const SecretView> secrets);
// Writes exactly secret_blob_bytes() at `out`. Call check_secrets first.
void write_secret_blob(std::span<const SecretView> secrets, char* out);
// The views point into `blob`.
Result<std::vector<SecretView>> read_secret_blob(std::string_view blob);

}  // namespace skerry
