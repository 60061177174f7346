#include "crypto/hash.h"

#include <sodium.h>

#include <new>

namespace skerry {
namespace {

using State = crypto_hash_sha256_state;

const unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

State* state_in(unsigned char* storage) {
  return std::launder(reinterpret_cast<State*>(storage));
}

}  // namespace

static_assert(kSha256Bytes == crypto_hash_sha256_BYTES);

std::string sha256(std::string_view bytes) {
  std::string out(kSha256Bytes, '\0');
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(out.data()), raw(bytes), bytes.size());
  return out;
}

Sha256::Sha256() {
  static_assert(sizeof(State) <= sizeof state_ && alignof(State) <= 8);
  new (state_) State;
  crypto_hash_sha256_init(state_in(state_));
}

void Sha256::update(std::string_view bytes) {
  crypto_hash_sha256_update(state_in(state_), raw(bytes), bytes.size());
}

std::string Sha256::finish() {
  std::string out(kSha256Bytes, '\0');
  crypto_hash_sha256_final(state_in(state_), reinterpret_cast<unsigned char*>(out.data()));
  crypto_hash_sha256_init(state_in(state_));
  return out;
}

}  // namespace skerry
