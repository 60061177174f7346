// Random bytes and names from the kernel's generator (libsodium's randombytes). Thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "crypto/secret_bytes.h"

namespace skerry {

[[nodiscard]] std::string random_bytes(size_t count);
[[nodiscard]] SecretBytes random_secret(size_t count);
// `length` characters drawn evenly from `alphabet` (2..256 characters).
[[nodiscard]] std::string random_text(size_t length, std::string_view alphabet);

}  // namespace skerry
