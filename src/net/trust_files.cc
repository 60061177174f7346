#include "net/trust_files.h"

#include <openssl/pem.h>

#include "net/openssl_handles.h"

namespace skerry {
namespace {

constexpr std::string_view kJavaMagic = "\xFE\xED\xFE\xED", kJavaType = "X.509", kJavaPassword = "changeit", kJavaPhrase = "Mighty Aphrodite";
constexpr size_t kJavaHeadBytes = 12;  // magic, version, count
constexpr size_t kSha1Bytes = 20;
constexpr uint32_t kJavaVersion = 2, kTrustedCertificate = 2;

Result<openssl::Cert> parse(const std::string& pem) {
  const openssl::Bio bio = openssl::memory_bio(pem);
  openssl::Cert certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!certificate) return std::unexpected(openssl::last_error(ErrorCode::kInvalidArgument, "not a certificate"));
  return certificate;
}

uint32_t u32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}
void put(std::string& out, uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
}
void put_text(std::string& out, std::string_view text) {
  put(out, text.size(), 2);
  out.append(text);
}

// SHA-1 over the password in UTF-16, a constant, and the store: against damage, not against anybody.
Result<std::string> java_seal(std::string_view body) {
  std::string all;
  for (const char c : kJavaPassword) all += {'\0', c};
  all.append(kJavaPhrase).append(body);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(all.data(), all.size(), digest, &size, EVP_sha1(), nullptr) != 1) return std::unexpected(openssl::last_error(ErrorCode::kInternal, "SHA-1"));
  return std::string(reinterpret_cast<const char*>(digest), size);
}

}  // namespace

Result<std::string> hashed_certificate_name(const std::string& pem) {
  TRY_ASSIGN(const openssl::Cert certificate, parse(pem));
  return fmt::format("{:08x}.0", X509_subject_name_hash(certificate.get()) & 0xFFFFFFFF);
}

Result<std::string> java_trust_store_with(std::string_view store, const std::string& pem, std::string_view alias) {
  if (store.size() < kJavaHeadBytes + kSha1Bytes || !store.starts_with(kJavaMagic) || u32(store, 4) != kJavaVersion) return fail(ErrorCode::kInvalidArgument, "not a JKS trust store");
  TRY_ASSIGN(const openssl::Cert certificate, parse(pem));
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  if (size <= 0) return std::unexpected(openssl::last_error(ErrorCode::kInternal, "encode a certificate"));
  const std::string encoded(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  std::string out(store.substr(0, 8));
  put(out, u32(store, 8) + 1, 4);
  out.append(store.substr(kJavaHeadBytes, store.size() - kJavaHeadBytes - kSha1Bytes));
  put(out, kTrustedCertificate, 4);
  put_text(out, alias);
  put(out, 0, 8);  // when it was put in
  put_text(out, kJavaType);
  put(out, encoded.size(), 4);
  out += encoded;
  TRY_ASSIGN(const std::string seal, java_seal(out));
  return out + seal;
}

}  // namespace skerry
