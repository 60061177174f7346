// TLS 1.2 and 1.3 over a Stream, server and client side, with OpenSSL behind it.
//
// A TlsContext belongs to one loop (OpenSSL 3.0 is slow when threads share one). Certificates are chosen by SNI when more than one is given.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/stream.h"

struct bio_method_st;
struct bio_st;
struct ssl_ctx_st;
struct ssl_st;

namespace skerry {

struct CertificatePair {
  std::string certificate_pem;  // leaf first, then the chain
  std::string key_pem;
};

class TlsContext {
 public:
  // ALPN offers http/1.1 only. kInvalidArgument when the pair does not fit together.
  static Result<std::unique_ptr<TlsContext>> server(const CertificatePair& pair);
  // Verifies the peer against `ca_pem` and its name.
  static Result<std::unique_ptr<TlsContext>> client(const std::string& ca_pem);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  [[nodiscard]] ssl_ctx_st* get() const { return context_; }

 private:
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* context_;
};

class TlsStream final : public Stream {
 public:
  TlsStream(Loop& loop, UniqueFd fd, TlsContext& context);
  ~TlsStream() override;

  Task<Result<void>> accept(TimePoint deadline);
  Task<Result<void>> connect(std::string server_name, TimePoint deadline);
  Task<Result<size_t>> read(std::span<char> into, TimePoint deadline) override;
  Task<Result<void>> write(std::string_view first, std::string_view second, TimePoint deadline) override;
  Task<Result<void>> shutdown_write(TimePoint deadline) override;
  // The name the client asked for, lower case; empty without SNI.
  [[nodiscard]] std::string server_name() const;

 private:
  // OpenSSL's way to the socket, by receive(): its own would ask the kernel once more after each record.
  static const bio_method_st* transport();
  static int bio_read(bio_st* bio, char* into, int size);
  static int bio_write(bio_st* bio, const char* from, int size);

  Task<Result<void>> handshake(TimePoint deadline);
  // Waits for what SSL_get_error asks for, or says what failed. `eof` is set on a clean close.
  Task<Result<void>> after(int result, bool& eof, TimePoint deadline);

  ssl_st* ssl_;
  std::string joined_;  // two parts become one TLS record
};

}  // namespace skerry
