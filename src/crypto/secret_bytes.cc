#include "crypto/secret_bytes.h"

#include <sodium.h>

#include <cstring>
#include <new>

#include "crypto/sodium_ready.h"

namespace skerry {

SecretBytes::SecretBytes(size_t size) : size_(size) {
  require_sodium();
  if (size == 0) return;
  data_ = static_cast<char*>(sodium_malloc(size));
  if (data_ == nullptr) throw std::bad_alloc();
  std::memset(data_, 0, size);  // sodium_malloc fills with a pattern
}

SecretBytes::~SecretBytes() {
  sodium_free(data_);
}  // zeroes before it unmaps

SecretBytes SecretBytes::copy_of(std::string_view bytes) {
  SecretBytes out(bytes.size());
  if (!bytes.empty()) std::memcpy(out.data_, bytes.data(), bytes.size());
  return out;
}

SecretBytes SecretBytes::take_from(std::string& bytes) {
  SecretBytes out = copy_of(bytes);
  wipe(bytes);
  return out;
}

void wipe(std::string& bytes) {
  bytes.resize(bytes.capacity());  // what an earlier, longer value left behind the end goes too
  sodium_memzero(bytes.data(), bytes.size());
  bytes.clear();
}

}  // namespace skerry
