// Two ways to seal. To a location: anyone with its public key can seal, only its keeper can open
// (crypto_box_seal: X25519, XSalsa20-Poly1305). At rest: one key seals and opens (XChaCha20-Poly1305), bound
// to associated data that says what the value is.
//
// Callers: vault (both), keeper (opening what is sealed to its location). Thread-safe, no I/O. Errors never
// contain key or text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "crypto/secret_bytes.h"

namespace skerry {

inline constexpr size_t kLocationKeyBytes = 32;  // the public and the secret half alike
inline constexpr size_t kSealedOverhead = 48;
inline constexpr size_t kBoxKeyBytes = 32;
inline constexpr size_t kBoxOverhead = 24 + 16;  // the nonce in front, the tag behind

struct LocationKeypair {
  std::string public_key;
  SecretBytes secret_key;
};
[[nodiscard]] LocationKeypair make_location_keypair();
// The pair of a stored secret half; kCorrupt if it has not kLocationKeyBytes.
Result<LocationKeypair> location_keypair_of(SecretBytes secret_key);

// kInvalidArgument when `public_key` is no usable key.
Result<std::string> seal_to_location(std::string_view public_key, std::string_view plaintext);
// kCorrupt when it was sealed to another key or changed.
Result<SecretBytes> open_sealed(const LocationKeypair& keys, std::string_view sealed);

// A fresh random nonce each time: 24 bytes, so that repeats do not happen.
Result<std::string> secret_box(const SecretBytes& key, std::string_view plaintext,
                               std::string_view associated);
// kCorrupt when key or associated data are others, or the box was changed.
Result<SecretBytes> open_secret_box(const SecretBytes& key, std::string_view box,
                                    std::string_view associated);

}  // namespace skerry
