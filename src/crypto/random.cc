#include "crypto/random.h"

#include <sodium.h>

#include "crypto/sodium_ready.h"

namespace skerry {

std::string random_bytes(size_t count) {
  require_sodium();
  std::string out(count, '\0');
  randombytes_buf(out.data(), out.size());
  return out;
}

SecretBytes random_secret(size_t count) {
  SecretBytes out(count);
  randombytes_buf(out.data(), out.size());
  return out;
}

std::string random_text(size_t length, std::string_view alphabet) {
  require_sodium();
  std::string out;
  out.reserve(length);
  for (size_t i = 0; i < length; ++i)
    out += alphabet[randombytes_uniform(static_cast<uint32_t>(alphabet.size()))];
  return out;
}

}  // namespace skerry
