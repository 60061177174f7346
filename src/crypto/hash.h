// SHA-256, whole and incremental. A sum is its 32 raw bytes: `Digest::of_bytes(sha256(bytes))` makes the text
// form.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace skerry {

inline constexpr size_t kSha256Bytes = 32;

[[nodiscard]] std::string sha256(std::string_view bytes);

// Hashes what is given to update() in order. finish() gives the sum and starts again from nothing.
class Sha256 {
 public:
  Sha256();
  void update(std::string_view bytes);
  [[nodiscard]] std::string finish();

 private:
  alignas(8) unsigned char state_[104];  // libsodium's state; the header stays free of its headers
};

}  // namespace skerry
