// HTTP/1.1 heads, sans I/O: strict parsing of requests and responses, and their limits.
//
// Parsed heads are views into the caller's buffer, which must outlive them and not move. What is ambiguous is refused, never repaired
// (RFC 9112 sections 2-7 and 11.2): both framings, repeated Content-Length or Host, obs-fold, bare CR or LF, space before a colon,
// any Transfer-Encoding but exactly "chunked".
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::http {

inline constexpr size_t kMaxHeadBytes = 64 * 1024;   // CONTRACT section 8: header block
inline constexpr size_t kMaxTargetBytes = 16 * 1024;
inline constexpr size_t kMaxHeaders = 128;
inline constexpr size_t kMaxMethodBytes = 32;

struct Header {
  std::string_view name;   // as sent
  std::string_view value;  // without the surrounding white space
};

enum class Framing : uint8_t {
  kNone,        // no body
  kLength,      // content_length bytes
  kChunked,
  kUntilClose,  // responses only
};

struct Head {
  std::vector<Header> headers;
  Framing framing = Framing::kNone;
  uint64_t content_length = 0;
  uint8_t minor = 1;        // HTTP/1.minor
  bool keep_alive = true;
  bool upgrade = false;     // Connection: upgrade and an Upgrade header
  size_t bytes = 0;         // of the head in the buffer, its empty line included

  // The first header of that name (`name` in lower case), or an empty view with a null data pointer.
  [[nodiscard]] std::string_view find(std::string_view name) const;
};

struct RequestHead : Head {
  std::string_view method;
  std::string_view target;     // origin-form or "*"; of absolute-form, what follows the authority
  std::string_view authority;  // Host, with its port, as sent
  bool expect_continue = false;
};

struct ResponseHead : Head {
  int status = 0;
  std::string_view reason;
};

// A head that must be refused: the status to answer with and a short reason for the client.
struct HeadError {
  int status;
  const char* reason;
};

// The number of bytes of the head at the start of `buffer`, 0 when it is not complete yet.
// `scanned` remembers how far earlier calls looked, so that slow senders do not cost O(n^2).
[[nodiscard]] size_t find_head_end(std::string_view buffer, size_t& scanned);

// `head_bytes` is exactly one head as found by find_head_end.
std::expected<RequestHead, HeadError> parse_request(std::string_view head_bytes);
// `method` is the request's (HEAD and CONNECT decide the framing).
std::expected<ResponseHead, HeadError> parse_response(std::string_view head_bytes, std::string_view method);

[[nodiscard]] bool iequals(std::string_view a, std::string_view b);
[[nodiscard]] bool is_token(std::string_view text);
// True for headers that belong to one connection: never forwarded. `connection` is the value of Connection.
[[nodiscard]] bool is_hop_by_hop(std::string_view name, std::string_view connection);
// A value that may be written as a header: no control byte except tab.
[[nodiscard]] bool is_header_value(std::string_view text);
// The host of an authority, lower case, without port and trailing dot; empty when malformed.
[[nodiscard]] std::string host_of(std::string_view authority);
[[nodiscard]] std::string_view reason_phrase(int status);

}  // namespace skerry::http
