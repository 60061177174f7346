// HTTP over libcurl: one request, blocking, with every wait bounded. The only place that knows libcurl.
//
// Used by Gateway and by `invoke`. Follows no redirect. A proxy from the environment is used for hosts that
// are not this machine. Thread-compatible: one HttpClient a thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skerry::cli {

inline constexpr size_t kMaxBufferedBody =
    32 * 1024 * 1024;  // a listing of 100 functions is far below; a stream does not pass through it
inline constexpr std::chrono::milliseconds kConnectTimeout{5000};

enum class HttpProblem { kUnreachable, kTls, kTimeout, kCancelled, kTooLarge, kProtocol };

struct HttpError {
  HttpProblem problem = HttpProblem::kProtocol;
  std::string message;
  int sys_errno = 0;
};

struct HttpHeader {
  std::string name;
  std::string value;
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<HttpHeader> headers;
  std::string unix_socket;  // "" for TCP
  std::string ca_pem;       // trusted instead of the system's store; "" for the system's
  std::string
      connect_host;  // go to this host, whatever the URL names (SNI, Host and verification stay with the URL)
  bool direct = false;  // never through a proxy
  std::string body;
  bool has_body = false;
  int upload_fd = -1;  // sent from its start, instead of `body`
  uint64_t upload_bytes = 0;
  std::chrono::milliseconds total_timeout{30'000};  // 0: none
  std::chrono::seconds silence_timeout{0};          // no byte in this long ends it; 0: none
  // Called with pieces of a 2xx body (of any, with stream_all) instead of keeping it; false ends the
  // transfer.
  std::function<bool(std::string_view)> on_body;
  bool stream_all = false;
  std::function<void(uint64_t sent, uint64_t total)> on_sent;
  const std::atomic<bool>* cancel = nullptr;
};

struct HttpResponse {
  int status = 0;
  std::vector<HttpHeader> headers;
  std::string body;
  int64_t total_ms = 0;
  int64_t first_byte_ms = 0;
  [[nodiscard]] std::string header(std::string_view name) const;  // the first, names without regard to case
};

class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // The connection is kept for the next request to the same place.
  std::expected<HttpResponse, HttpError> send(const HttpRequest& request);

 private:
  void* handle_ = nullptr;
};

// Unreserved characters stay, everything else becomes %XX.
[[nodiscard]] std::string percent_encode(std::string_view text);

}  // namespace skerry::cli
