#include "crypto/seal.h"

#include <sodium.h>

#include "crypto/sodium_ready.h"

namespace skerry {
namespace {

static_assert(kLocationKeyBytes == crypto_box_PUBLICKEYBYTES &&
              kLocationKeyBytes == crypto_box_SECRETKEYBYTES);
static_assert(kSealedOverhead == crypto_box_SEALBYTES);
static_assert(kBoxKeyBytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
constexpr size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
static_assert(kBoxOverhead == kNonceBytes + kTagBytes);

const unsigned char* in(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* out_of(std::string& bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}
unsigned char* out_of(SecretBytes& bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

}  // namespace

LocationKeypair make_location_keypair() {
  require_sodium();
  LocationKeypair keys{std::string(kLocationKeyBytes, '\0'), SecretBytes(kLocationKeyBytes)};
  crypto_box_keypair(out_of(keys.public_key), out_of(keys.secret_key));
  return keys;
}

Result<LocationKeypair> location_keypair_of(SecretBytes secret_key) {
  if (secret_key.size() != kLocationKeyBytes) {
    return fail(ErrorCode::kCorrupt, "location key has {} bytes, not {}", secret_key.size(),
                kLocationKeyBytes);
  }
  LocationKeypair keys{std::string(kLocationKeyBytes, '\0'), std::move(secret_key)};
  if (crypto_scalarmult_base(out_of(keys.public_key), in(keys.secret_key.reveal())) != 0) {
    return fail(ErrorCode::kCorrupt, "location key is not a key");
  }
  return keys;
}

Result<std::string> seal_to_location(std::string_view public_key, std::string_view plaintext) {
  require_sodium();
  if (public_key.size() != kLocationKeyBytes) {
    return fail(ErrorCode::kInvalidArgument, "location public key has {} bytes, not {}", public_key.size(),
                kLocationKeyBytes);
  }
  std::string sealed(plaintext.size() + kSealedOverhead, '\0');
  if (crypto_box_seal(out_of(sealed), in(plaintext), plaintext.size(), in(public_key)) != 0) {
    return fail(ErrorCode::kInvalidArgument, "location public key is not a key");
  }
  return sealed;
}

Result<SecretBytes> open_sealed(const LocationKeypair& keys, std::string_view sealed) {
  require_sodium();
  if (sealed.size() < kSealedOverhead) return fail(ErrorCode::kCorrupt, "sealed bytes are too short");
  SecretBytes plaintext(sealed.size() - kSealedOverhead);
  unsigned char nothing = 0;  // an empty plaintext has no memory of its own
  unsigned char* const to = plaintext.empty() ? &nothing : out_of(plaintext);
  if (crypto_box_seal_open(to, in(sealed), sealed.size(), in(keys.public_key),
                           in(keys.secret_key.reveal())) != 0) {
    return fail(ErrorCode::kCorrupt, "sealed to another location's key, or changed");
  }
  return plaintext;
}

Result<std::string> secret_box(const SecretBytes& key, std::string_view plaintext,
                               std::string_view associated) {
  require_sodium();
  if (key.size() != kBoxKeyBytes)
    return fail(ErrorCode::kInternal, "sealing key has {} bytes, not {}", key.size(), kBoxKeyBytes);
  std::string box(kBoxOverhead + plaintext.size(), '\0');
  randombytes_buf(box.data(), kNonceBytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(out_of(box) + kNonceBytes, nullptr, in(plaintext),
                                             plaintext.size(), in(associated), associated.size(), nullptr,
                                             out_of(box), in(key.reveal()));
  return box;
}

Result<SecretBytes> open_secret_box(const SecretBytes& key, std::string_view box,
                                    std::string_view associated) {
  require_sodium();
  if (key.size() != kBoxKeyBytes)
    return fail(ErrorCode::kInternal, "sealing key has {} bytes, not {}", key.size(), kBoxKeyBytes);
  if (box.size() < kBoxOverhead) return fail(ErrorCode::kCorrupt, "sealed value is too short");
  SecretBytes plaintext(box.size() - kBoxOverhead);
  unsigned char nothing = 0;
  unsigned char* const to = plaintext.empty() ? &nothing : out_of(plaintext);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(to, nullptr, nullptr, in(box) + kNonceBytes,
                                                 box.size() - kNonceBytes, in(associated), associated.size(),
                                                 in(box), in(key.reveal())) != 0) {
    return fail(ErrorCode::kCorrupt, "sealed value does not open: another key, another name, or changed");
  }
  return plaintext;
}

}  // namespace skerry
