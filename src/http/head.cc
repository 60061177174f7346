#include "http/head.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace skerry::http {
namespace {

constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table{};
  for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
    table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kToken = make_token_table();

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Calls `f` with each trimmed, non-empty element of a comma-separated list.
template <typename F>
void for_each_element(std::string_view list, F f) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (const std::string_view element = trim(list.substr(0, comma)); !element.empty()) f(element);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

// Takes one line off `rest`. Every line of a head ends in CRLF; a CR or LF anywhere else is refused.
bool take_line(std::string_view& rest, std::string_view& line) {
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos || end == 0 || rest[end - 1] != '\r') return false;
  line = rest.substr(0, end - 1);
  rest.remove_prefix(end + 1);
  return line.find('\r') == std::string_view::npos;
}

std::expected<void, HeadError> refuse(int status, const char* reason) { return std::unexpected(HeadError{status, reason}); }

struct Seen {
  bool content_length = false;
  bool transfer_encoding = false;
  bool chunked = false;
  bool connection_close = false;
  bool connection_keep_alive = false;
  bool connection_upgrade = false;
  bool has_upgrade = false;
};

std::expected<void, HeadError> note_header(const Header& h, Head& head, Seen& seen) {
  if (iequals(h.name, "content-length")) {
    // SECURITY: request smuggling; a repeated length is refused even when equal.
    if (seen.content_length) return refuse(400, "repeated Content-Length");
    seen.content_length = true;
    const auto [end, ec] = std::from_chars(h.value.data(), h.value.data() + h.value.size(), head.content_length);
    if (h.value.empty() || h.value.size() > 18 || ec != std::errc() || end != h.value.data() + h.value.size())
      return refuse(400, "bad Content-Length");
  } else if (iequals(h.name, "transfer-encoding")) {
    if (seen.transfer_encoding) return refuse(400, "repeated Transfer-Encoding");
    seen.transfer_encoding = true;
    if (!iequals(h.value, "chunked")) return refuse(501, "a transfer coding other than chunked");
    seen.chunked = true;
  } else if (iequals(h.name, "connection")) {
    for_each_element(h.value, [&](std::string_view option) {
      if (iequals(option, "close")) seen.connection_close = true;
      if (iequals(option, "keep-alive")) seen.connection_keep_alive = true;
      if (iequals(option, "upgrade")) seen.connection_upgrade = true;
    });
  } else if (iequals(h.name, "upgrade")) {
    seen.has_upgrade = true;
  }
  return {};
}

std::expected<void, HeadError> parse_headers(std::string_view rest, Head& head, Seen& seen) {
  head.headers.reserve(16);
  for (;;) {
    std::string_view line;
    if (!take_line(rest, line)) return refuse(400, "a line that does not end in CRLF");
    if (line.empty()) return {};
    if (line.front() == ' ' || line.front() == '\t') return refuse(400, "a folded header line");
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return refuse(400, "a malformed header name");
    const Header header{line.substr(0, colon), trim(line.substr(colon + 1))};
    if (!is_header_value(header.value)) return refuse(400, "a control character in a header value");
    if (head.headers.size() == kMaxHeaders) return refuse(431, "too many headers");
    if (auto noted = note_header(header, head, seen); !noted) return noted;
    head.headers.push_back(header);
  }
}

// HTTP-version: exactly "HTTP/1.0" or "HTTP/1.1".
bool parse_version(std::string_view text, uint8_t& minor) {
  if (text.size() != 8 || !text.starts_with("HTTP/1.") || (text[7] != '0' && text[7] != '1')) return false;
  minor = static_cast<uint8_t>(text[7] - '0');
  return true;
}

std::expected<void, HeadError> check_target(RequestHead& head) {
  if (head.target.size() > kMaxTargetBytes) return refuse(414, "the request target is too long");
  if (!std::all_of(head.target.begin(), head.target.end(), [](char c) { return c > 0x20 && c < 0x7F; }))
    return refuse(400, "a byte in the request target that must be percent-encoded");
  if (head.method == "CONNECT") return refuse(501, "CONNECT");
  if (head.target.starts_with('/') || (head.target == "*" && head.method == "OPTIONS")) return {};
  const size_t scheme = head.target.find("://");
  if (scheme == std::string_view::npos || !(iequals(head.target.substr(0, scheme), "http") || iequals(head.target.substr(0, scheme), "https")))
    return refuse(400, "a malformed request target");
  const std::string_view after = head.target.substr(scheme + 3);
  const size_t path = std::min(after.find_first_of("/?"), after.size());
  // SECURITY: an absolute-form target that names another host than Host would be routed by one and logged by the other.
  if (!iequals(after.substr(0, path), head.authority)) return refuse(400, "the request target and Host differ");
  head.target = after.substr(path);
  if (!head.target.starts_with('/')) return refuse(400, "an absolute request target without a path");
  return {};
}

}  // namespace

bool iequals(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return kToken[static_cast<unsigned char>(c)]; });
}

bool is_header_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F); });
}

bool is_hop_by_hop(std::string_view name, std::string_view connection) {
  static constexpr std::string_view kNames[] = {"connection",       "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
                                                "te",               "trailer",    "transfer-encoding", "upgrade",            "http2-settings"};
  if (std::any_of(std::begin(kNames), std::end(kNames), [&](std::string_view n) { return iequals(n, name); })) return true;
  bool named = false;
  if (!connection.empty()) for_each_element(connection, [&](std::string_view option) { named = named || iequals(option, name); });
  return named;
}

std::string_view Head::find(std::string_view name) const {
  for (const Header& h : headers)
    if (iequals(h.name, name)) return h.value;
  return {};
}

size_t find_head_end(std::string_view buffer, size_t& scanned) {
  // Looks three bytes back: the end may straddle two reads.
  const size_t from = scanned > 3 ? scanned - 3 : 0;
  scanned = buffer.size();
  const size_t at = buffer.find("\r\n\r\n", from);
  return at == std::string_view::npos ? 0 : at + 4;
}

std::expected<RequestHead, HeadError> parse_request(std::string_view head_bytes) {
  RequestHead head;
  head.bytes = head_bytes.size();
  std::string_view line;
  if (!take_line(head_bytes, line)) return std::unexpected(HeadError{400, "a line that does not end in CRLF"});
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return std::unexpected(HeadError{400, "a malformed request line"});
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  if (!is_token(head.method) || head.method.size() > kMaxMethodBytes) return std::unexpected(HeadError{400, "a malformed method"});
  if (!parse_version(line.substr(last + 1), head.minor)) {
    const bool other_version = line.substr(last + 1).starts_with("HTTP/") && !line.substr(last + 1).starts_with("HTTP/1.");
    return std::unexpected(HeadError{other_version ? 505 : 400, "an HTTP version other than 1.0 and 1.1"});
  }
  Seen seen;
  if (auto parsed = parse_headers(head_bytes, head, seen); !parsed) return std::unexpected(parsed.error());
  size_t hosts = 0;
  for (const Header& h : head.headers) {
    if (iequals(h.name, "host")) ++hosts, head.authority = h.value;
    if (iequals(h.name, "expect")) {
      if (!iequals(h.value, "100-continue")) return std::unexpected(HeadError{417, "an expectation other than 100-continue"});
      head.expect_continue = head.minor == 1;
    }
  }
  if (hosts > 1) return std::unexpected(HeadError{400, "repeated Host"});
  if (hosts == 0 && head.minor == 1) return std::unexpected(HeadError{400, "no Host"});
  if (hosts == 1 && host_of(head.authority).empty()) return std::unexpected(HeadError{400, "a malformed Host"});
  // SECURITY: request smuggling; what has two framings, or a coding that HTTP/1.0 does not know, is never forwarded.
  if (seen.content_length && seen.transfer_encoding) return std::unexpected(HeadError{400, "both Content-Length and Transfer-Encoding"});
  if (seen.transfer_encoding && head.minor == 0) return std::unexpected(HeadError{400, "Transfer-Encoding in HTTP/1.0"});
  if (auto target = check_target(head); !target) return std::unexpected(target.error());
  head.framing = seen.chunked ? Framing::kChunked : head.content_length > 0 ? Framing::kLength : Framing::kNone;
  head.keep_alive = head.minor == 1 ? !seen.connection_close : seen.connection_keep_alive && !seen.connection_close;
  head.upgrade = head.minor == 1 && seen.connection_upgrade && seen.has_upgrade;
  return head;
}

std::expected<ResponseHead, HeadError> parse_response(std::string_view head_bytes, std::string_view method) {
  ResponseHead head;
  head.bytes = head_bytes.size();
  std::string_view line;
  if (!take_line(head_bytes, line)) return std::unexpected(HeadError{502, "a line that does not end in CRLF"});
  // status-line = HTTP-version SP 3DIGIT [SP reason]; a missing last space is tolerated as every proxy does.
  if (line.size() < 12 || line[8] != ' ' || !parse_version(line.substr(0, 8), head.minor) || (line.size() > 12 && line[12] != ' '))
    return std::unexpected(HeadError{502, "a malformed status line"});
  const auto [end, ec] = std::from_chars(line.data() + 9, line.data() + 12, head.status);
  if (ec != std::errc() || end != line.data() + 12 || head.status < 100 || head.status > 599)
    return std::unexpected(HeadError{502, "a malformed status code"});
  head.reason = line.size() > 13 ? line.substr(13) : std::string_view();
  Seen seen;
  if (auto parsed = parse_headers(head_bytes, head, seen); !parsed) return std::unexpected(HeadError{502, parsed.error().reason});
  if (seen.content_length && seen.transfer_encoding) return std::unexpected(HeadError{502, "both Content-Length and Transfer-Encoding"});
  const bool bodiless = method == "HEAD" || head.status < 200 || head.status == 204 || head.status == 304;
  if (bodiless) head.framing = Framing::kNone;
  else if (seen.chunked) head.framing = Framing::kChunked;
  else if (seen.content_length) head.framing = head.content_length > 0 ? Framing::kLength : Framing::kNone;
  else head.framing = Framing::kUntilClose;
  head.keep_alive = head.framing != Framing::kUntilClose && (head.minor == 1 ? !seen.connection_close : seen.connection_keep_alive);
  head.upgrade = head.status == 101 && seen.connection_upgrade && seen.has_upgrade;
  return head;
}

std::string host_of(std::string_view authority) {
  std::string_view host = authority;
  if (host.starts_with('[')) {
    const size_t close = host.find(']');
    if (close == std::string_view::npos) return {};
    const std::string_view port = host.substr(close + 1);
    if (!port.empty() && (port[0] != ':' || port.find_first_not_of("0123456789", 1) != std::string_view::npos)) return {};
    host = host.substr(0, close + 1);
    if (host.find_first_not_of("0123456789abcdefABCDEF:.[]") != std::string_view::npos) return {};
  } else {
    if (const size_t colon = host.find(':'); colon != std::string_view::npos) {
      if (host.find_first_not_of("0123456789", colon + 1) != std::string_view::npos || host.size() - colon > 6) return {};
      host = host.substr(0, colon);
    }
    if (host.ends_with('.')) host.remove_suffix(1);
    if (host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") != std::string_view::npos) return {};
  }
  if (host.size() > 253) return {};
  std::string out(host);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    default: return "Status";
  }
}

}  // namespace skerry::http
