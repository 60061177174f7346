#include "net/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "net/openssl_handles.h"

namespace skerry {
namespace {

using openssl::Bio, openssl::Cert, openssl::Key, openssl::memory_bio;

constexpr long kAuthorityDays = 3650;
constexpr long kLeafDays = 397;

std::unexpected<Error> openssl_failed(std::string_view what) { return std::unexpected(openssl::last_error(ErrorCode::kInvalidArgument, what)); }

Result<void> add_extension(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return openssl_failed(fmt::format("certificate extension `{}`", value));
  const int added = X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
  if (added != 1) return openssl_failed("certificate extension");
  return {};
}

// A certificate without extensions or signature: random serial, subject, validity, key.
Result<Cert> blank(const std::string& common_name, long days, EVP_PKEY* key) {
  Cert cert(X509_new());
  unsigned char serial[16];
  if (!cert || RAND_bytes(serial, sizeof serial) != 1) return openssl_failed("new certificate");
  serial[0] &= 0x7F;  // positive
  X509_set_version(cert.get(), 2);
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert.get()));
  BN_free(number);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), -3600);  // clocks of clients differ
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), days * 86400);
  X509_set_pubkey(cert.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.get()), "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common_name.c_str()),
                             -1, -1, 0);
  return cert;
}

Result<CertificatePair> to_pem(X509* cert, EVP_PKEY* key) {
  const Bio cert_bio(BIO_new(BIO_s_mem())), key_bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(cert_bio.get(), cert) != 1 || PEM_write_bio_PKCS8PrivateKey(key_bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return openssl_failed("write PEM");
  const auto text = [](BIO* bio) {
    char* start = nullptr;
    const long size = BIO_get_mem_data(bio, &start);
    return std::string(start, static_cast<size_t>(size));
  };
  return CertificatePair{text(cert_bio.get()), text(key_bio.get())};
}

Result<Cert> read_certificate(const std::string& pem) {
  const Bio bio = memory_bio(pem);
  Cert cert(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!cert) return openssl_failed("read certificate");
  return cert;
}

}  // namespace

Result<CertificatePair> make_certificate_authority(const std::string& name) {
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_failed("generate key");
  TRY_ASSIGN(const Cert cert, blank(name, kAuthorityDays, key.get()));
  X509_set_issuer_name(cert.get(), X509_get_subject_name(cert.get()));
  TRY(add_extension(cert.get(), cert.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  TRY(add_extension(cert.get(), cert.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  TRY(add_extension(cert.get(), cert.get(), NID_subject_key_identifier, "hash"));
  if (X509_sign(cert.get(), key.get(), EVP_sha256()) == 0) return openssl_failed("sign CA");
  return to_pem(cert.get(), key.get());
}

Result<CertificatePair> issue_certificate(const CertificatePair& authority, const std::vector<std::string>& dns_names,
                                          const std::vector<std::string>& ip_addresses) {
  if (dns_names.empty()) return fail(ErrorCode::kInvalidArgument, "a certificate needs a name");
  TRY_ASSIGN(const Cert ca, read_certificate(authority.certificate_pem));
  const Bio ca_key_bio = memory_bio(authority.key_pem);
  const Key ca_key(PEM_read_bio_PrivateKey(ca_key_bio.get(), nullptr, nullptr, nullptr));
  if (!ca_key) return openssl_failed("read CA key");
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_failed("generate key");
  TRY_ASSIGN(const Cert cert, blank(dns_names[0], kLeafDays, key.get()));
  X509_set_issuer_name(cert.get(), X509_get_subject_name(ca.get()));
  std::string names;
  for (const std::string& name : dns_names) names += fmt::format("{}DNS:{}", names.empty() ? "" : ",", name);
  for (const std::string& address : ip_addresses) names += fmt::format(",IP:{}", address);
  TRY(add_extension(cert.get(), ca.get(), NID_basic_constraints, "critical,CA:FALSE"));
  TRY(add_extension(cert.get(), ca.get(), NID_key_usage, "critical,digitalSignature"));
  TRY(add_extension(cert.get(), ca.get(), NID_ext_key_usage, "serverAuth"));
  TRY(add_extension(cert.get(), ca.get(), NID_subject_alt_name, names));
  TRY(add_extension(cert.get(), ca.get(), NID_authority_key_identifier, "keyid"));
  if (X509_sign(cert.get(), ca_key.get(), EVP_sha256()) == 0) return openssl_failed("sign certificate");
  TRY_ASSIGN(CertificatePair pair, to_pem(cert.get(), key.get()));
  pair.certificate_pem += authority.certificate_pem;
  return pair;
}

Result<int64_t> seconds_until_expiry(const std::string& pem) {
  TRY_ASSIGN(const Cert cert, read_certificate(pem));
  int days = 0, seconds = 0;
  if (ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(cert.get())) != 1) return openssl_failed("certificate's time");
  return int64_t{days} * 86400 + seconds;
}

bool certificate_covers(const std::string& pem, const std::string& host) {
  auto cert = read_certificate(pem);
  return cert && X509_check_host(cert->get(), host.data(), host.size(), 0, nullptr) == 1;
}

}  // namespace skerry
