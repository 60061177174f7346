#include "net/tls.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "net/openssl_handles.h"

namespace skerry {
namespace {

using openssl::Bio, openssl::Cert, openssl::Key, openssl::memory_bio;

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size, void*) {
  static constexpr unsigned char kOffer[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kOffer, sizeof kOffer, in, in_size) != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Result<void> use_pair(SSL_CTX* context, const CertificatePair& pair) {
  const Bio certs = memory_bio(pair.certificate_pem), key_bio = memory_bio(pair.key_pem);
  const Cert leaf(PEM_read_bio_X509(certs.get(), nullptr, nullptr, nullptr));
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) return std::unexpected(openssl::last_error(ErrorCode::kInvalidArgument, "certificate"));
  while (X509* extra = PEM_read_bio_X509(certs.get(), nullptr, nullptr, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, extra) != 1) {
      X509_free(extra);
      return std::unexpected(openssl::last_error(ErrorCode::kInvalidArgument, "certificate chain"));
    }
  }
  ERR_clear_error();  // the end of the PEM file is an error to OpenSSL
  const Key key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1)
    return std::unexpected(openssl::last_error(ErrorCode::kInvalidArgument, "private key"));
  return {};
}

}  // namespace

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

Result<std::unique_ptr<TlsContext>> TlsContext::server(const CertificatePair& pair) {
  std::unique_ptr<TlsContext> context(new TlsContext(SSL_CTX_new(TLS_server_method())));
  SSL_CTX* raw = context->get();
  if (raw == nullptr) return std::unexpected(openssl::last_error(ErrorCode::kIo, "TLS context"));
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // TLS 1.2: forward secrecy and AEAD only. AES-128 first: the cheapest that is strong.
  if (SSL_CTX_set_cipher_list(raw, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
      SSL_CTX_set_ciphersuites(raw, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384") != 1)
    return std::unexpected(openssl::last_error(ErrorCode::kIo, "TLS ciphers"));
  SSL_CTX_set1_groups_list(raw, "X25519:P-256:P-384");
  SSL_CTX_set_read_ahead(raw, 1);
  SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(raw, select_alpn, nullptr);
  TRY(use_pair(raw, pair));
  return context;
}

Result<std::unique_ptr<TlsContext>> TlsContext::client(const std::string& ca_pem) {
  std::unique_ptr<TlsContext> context(new TlsContext(SSL_CTX_new(TLS_client_method())));
  SSL_CTX* raw = context->get();
  if (raw == nullptr) return std::unexpected(openssl::last_error(ErrorCode::kIo, "TLS context"));
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  const Bio bio = memory_bio(ca_pem);
  const Cert ca(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!ca || X509_STORE_add_cert(SSL_CTX_get_cert_store(raw), ca.get()) != 1)
    return std::unexpected(openssl::last_error(ErrorCode::kInvalidArgument, "CA certificate"));
  return context;
}

TlsStream::TlsStream(Loop& loop, UniqueFd fd, TlsContext& context) : Stream(loop, std::move(fd)), ssl_(SSL_new(context.get())) {
  BIO* bio = ssl_ != nullptr ? BIO_new(transport()) : nullptr;
  if (bio == nullptr) {
    SSL_free(std::exchange(ssl_, nullptr));
    return;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
}

const bio_method_st* TlsStream::transport() {
  static const bio_method_st* const kMethod = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    if (method == nullptr) return method;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, [](BIO* bio, int command, long, void*) -> long {
      if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
      return command == BIO_CTRL_FLUSH ? 1 : 0;
    });
    return method;
  }();
  return kMethod;
}

int TlsStream::bio_read(BIO* bio, char* into, int size) {
  BIO_clear_retry_flags(bio);
  ssize_t n = 0;
  do n = static_cast<TlsStream*>(BIO_get_data(bio))->receive({into, static_cast<size_t>(size)});
  while (n < 0 && errno == EINTR);
  if (n == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  else if (n < 0 && errno == EAGAIN) BIO_set_retry_read(bio);
  return static_cast<int>(n);
}

int TlsStream::bio_write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  ssize_t n = 0;
  do n = ::send(static_cast<TlsStream*>(BIO_get_data(bio))->fd(), from, static_cast<size_t>(size), MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) BIO_set_retry_write(bio);
  return static_cast<int>(n);
}
TlsStream::~TlsStream() { SSL_free(ssl_); }

Task<Result<void>> TlsStream::after(int result, bool& eof, TimePoint deadline) {
  const int saved_errno = errno;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: co_return co_await wait(Direction::kRead, deadline);
    case SSL_ERROR_WANT_WRITE: co_return co_await wait(Direction::kWrite, deadline);
    case SSL_ERROR_ZERO_RETURN: eof = true; co_return Result<void>{};
    case SSL_ERROR_SYSCALL:
      ERR_clear_error();
      co_return std::unexpected(Error::from_errno(saved_errno != 0 ? saved_errno : ECONNRESET, "TLS connection"));
    default: co_return std::unexpected(openssl::last_error(ErrorCode::kProtocol, "TLS"));
  }
}

Task<Result<void>> TlsStream::handshake(TimePoint deadline) {
  if (ssl_ == nullptr) co_return fail(ErrorCode::kNoCapacity, "TLS session");
  for (;;) {
    if (aborted()) co_return fail(ErrorCode::kCancelled, "the connection was given up");
    errno = 0;
    const int result = SSL_do_handshake(ssl_);
    if (result == 1) co_return Result<void>{};
    bool eof = false;
    CO_TRY(co_await after(result, eof, deadline), "handshake");
    if (eof) co_return fail(ErrorCode::kUnavailable, "handshake: the peer closed");
  }
}

Task<Result<void>> TlsStream::accept(TimePoint deadline) {
  if (ssl_ != nullptr) SSL_set_accept_state(ssl_);
  co_return co_await handshake(deadline);
}

Task<Result<void>> TlsStream::connect(std::string server_name, TimePoint deadline) {
  if (ssl_ != nullptr) {
    SSL_set_connect_state(ssl_);
    SSL_set_tlsext_host_name(ssl_, server_name.c_str());
    SSL_set1_host(ssl_, server_name.c_str());
  }
  co_return co_await handshake(deadline);
}

Task<Result<size_t>> TlsStream::read(std::span<char> into, TimePoint deadline) {
  for (;;) {
    if (aborted()) co_return fail(ErrorCode::kCancelled, "the connection was given up");
    errno = 0;
    size_t n = 0;
    const int result = SSL_read_ex(ssl_, into.data(), into.size(), &n);
    if (result == 1) co_return n;
    bool eof = false;
    CO_TRY(co_await after(result, eof, deadline));
    if (eof) co_return size_t{0};
  }
}

Task<Result<void>> TlsStream::write(std::string_view first, std::string_view second, TimePoint deadline) {
  constexpr size_t kJoinBytes = 16 * 1024;  // a TLS record; larger parts go out on their own
  if (!first.empty() && !second.empty()) {
    const size_t taken = std::min(second.size(), first.size() < kJoinBytes ? kJoinBytes - first.size() : 0);
    joined_.assign(first).append(second.substr(0, taken));
    first = joined_;
    second.remove_prefix(taken);
  }
  for (std::string_view* part : {&first, &second}) {
    while (!part->empty()) {
      if (aborted()) co_return fail(ErrorCode::kCancelled, "the connection was given up");
      errno = 0;
      size_t n = 0;
      const int result = SSL_write_ex(ssl_, part->data(), part->size(), &n);
      if (result == 1) {
        bytes_written_ += n;
        part->remove_prefix(n);
        continue;
      }
      bool eof = false;
      CO_TRY(co_await after(result, eof, deadline));
      if (eof) co_return fail(ErrorCode::kUnavailable, "the peer closed");
    }
  }
  co_return Result<void>{};
}

Task<Result<void>> TlsStream::shutdown_write(TimePoint deadline) {
  errno = 0;
  if (const int result = SSL_shutdown(ssl_); result < 0) {
    bool eof = false;
    CO_TRY(co_await after(result, eof, deadline));
  }
  co_return co_await Stream::shutdown_write(deadline);
}

std::string TlsStream::server_name() const {
  const char* name = ssl_ != nullptr ? SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name) : nullptr;
  std::string out = name != nullptr ? name : "";
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace skerry
