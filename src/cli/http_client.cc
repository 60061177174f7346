#include "cli/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <strings.h>
#include <unistd.h>

#include <cstring>
#include <memory>

namespace skerry::cli {
namespace {

struct Transfer {
  const HttpRequest* request = nullptr;
  HttpResponse response;
  CURL* handle = nullptr;
  uint64_t upload_at = 0;
  bool too_large = false;
  bool stopped = false;
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\r' || text.back() == '\n' || text.back() == ' '))
    text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return text;
}

size_t on_header(char* data, size_t size, size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const std::string_view line = trimmed({data, size * count});
  if (line.starts_with("HTTP/")) {
    transfer.response.headers.clear();  // the head of an interim answer is over
  } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    transfer.response.headers.push_back(
        {std::string(line.substr(0, colon)), std::string(trimmed(line.substr(colon + 1)))});
  }
  return size * count;
}

size_t on_write(char* data, size_t size, size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const std::string_view piece(data, size * count);
  long status = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
  if (transfer.request->on_body && (transfer.request->stream_all || (status >= 200 && status < 300))) {
    if (!transfer.request->on_body(piece)) return transfer.stopped = true, CURL_WRITEFUNC_ERROR;
    return piece.size();
  }
  if (transfer.response.body.size() + piece.size() > kMaxBufferedBody)
    return transfer.too_large = true, CURL_WRITEFUNC_ERROR;
  transfer.response.body.append(piece);
  return piece.size();
}

size_t on_read(char* buffer, size_t size, size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const ssize_t n =
      ::pread(transfer.request->upload_fd, buffer, size * count, static_cast<off_t>(transfer.upload_at));
  if (n < 0) return CURL_READFUNC_ABORT;
  transfer.upload_at += static_cast<uint64_t>(n);
  return static_cast<size_t>(n);
}

// The connection may have to be made again, and the upload with it.
int on_seek(void* context, curl_off_t offset, int origin) {
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Transfer*>(context)->upload_at = static_cast<uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

int on_progress(void* context, curl_off_t, curl_off_t, curl_off_t upload_total, curl_off_t upload_now) {
  const auto& transfer = *static_cast<Transfer*>(context);
  if (transfer.request->on_sent && upload_total > 0)
    transfer.request->on_sent(static_cast<uint64_t>(upload_now), static_cast<uint64_t>(upload_total));
  return transfer.request->cancel != nullptr && transfer.request->cancel->load() ? 1 : 0;
}

HttpProblem problem_of(CURLcode code, const Transfer& transfer) {
  if (transfer.too_large) return HttpProblem::kTooLarge;
  if (transfer.stopped) return HttpProblem::kCancelled;
  switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
      return HttpProblem::kUnreachable;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
      return HttpProblem::kTls;
    case CURLE_OPERATION_TIMEDOUT:
      return HttpProblem::kTimeout;
    case CURLE_ABORTED_BY_CALLBACK:
      return HttpProblem::kCancelled;
    default:
      return HttpProblem::kProtocol;
  }
}

using HeaderList = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

void append(HeaderList& list, const std::string& text) {
  list.reset(curl_slist_append(list.release(), text.c_str()));
}

void set_destination(CURL* h, const HttpRequest& request, HeaderList& connect_to) {
  curl_easy_setopt(h, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
  if (!request.unix_socket.empty())
    curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
  if (request.direct || !request.unix_socket.empty()) curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
  if (!request.connect_host.empty()) {
    append(connect_to, fmt::format("::{}:", request.connect_host));
    curl_easy_setopt(h, CURLOPT_CONNECT_TO, connect_to.get());
  }
  if (!request.ca_pem.empty()) {
    curl_blob blob{const_cast<char*>(request.ca_pem.data()), request.ca_pem.size(), CURL_BLOB_COPY};
    curl_easy_setopt(h, CURLOPT_CAINFO_BLOB, &blob);
    curl_easy_setopt(h, CURLOPT_CAPATH, nullptr);
  }
}

void set_body(CURL* h, const HttpRequest& request, Transfer& transfer) {
  if (request.upload_fd >= 0) {
    curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.upload_bytes));
    curl_easy_setopt(h, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(h, CURLOPT_READDATA, &transfer);
    curl_easy_setopt(h, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(h, CURLOPT_SEEKDATA, &transfer);
  } else if (request.has_body) {
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(h, CURLOPT_POSTFIELDS, request.body.data());
  } else if (request.method == "HEAD") {
    curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
  }
  curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

void set_bounds(CURL* h, const HttpRequest& request) {
  curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);  // program.cc ignores SIGPIPE; `dev` runs two threads
  curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(kConnectTimeout.count()));
  if (request.total_timeout.count() != 0)
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, static_cast<long>(request.total_timeout.count()));
  if (request.silence_timeout.count() != 0) {
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.silence_timeout.count()));
  }
  curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
}

}  // namespace

std::string HttpResponse::header(std::string_view name) const {
  for (const HttpHeader& h : headers) {
    if (h.name.size() == name.size() && ::strncasecmp(h.name.data(), name.data(), name.size()) == 0)
      return h.value;
  }
  return {};
}

HttpClient::HttpClient() : handle_(curl_easy_init()) {}
HttpClient::~HttpClient() {
  if (handle_ != nullptr) curl_easy_cleanup(handle_);
}

std::expected<HttpResponse, HttpError> HttpClient::send(const HttpRequest& request) {
  if (handle_ == nullptr)
    return std::unexpected(HttpError{HttpProblem::kProtocol, "libcurl cannot be initialised", 0});
  CURL* h = handle_;
  curl_easy_reset(h);
  Transfer transfer;
  transfer.request = &request;
  transfer.handle = h;
  char detail[CURL_ERROR_SIZE] = "";
  HeaderList headers(nullptr, curl_slist_free_all);
  HeaderList connect_to(nullptr, curl_slist_free_all);
  for (const HttpHeader& header : request.headers) {
    // "Name;" is how libcurl is told to send a header without a value.
    append(headers,
           header.value.empty() ? header.name + ";" : fmt::format("{}: {}", header.name, header.value));
  }
  append(headers, "Expect:");  // no 100-continue round trip
  set_destination(h, request, connect_to);
  set_body(h, request, transfer);
  set_bounds(h, request);
  curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(h, CURLOPT_ERRORBUFFER, detail);
  curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(h, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_write);
  curl_easy_setopt(h, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(h, CURLOPT_XFERINFODATA, &transfer);
  const CURLcode code = curl_easy_perform(h);
  long status = 0;
  curl_off_t total_us = 0;
  curl_off_t first_us = 0;
  curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(h, CURLINFO_TOTAL_TIME_T, &total_us);
  curl_easy_getinfo(h, CURLINFO_STARTTRANSFER_TIME_T, &first_us);
  transfer.response.status = static_cast<int>(status);
  transfer.response.total_ms = total_us / 1000;
  transfer.response.first_byte_ms = first_us / 1000;
  // A refused upload: the gateway answers and closes while the body is still on its way. The answer is what
  // matters.
  const bool refused_early = (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR) && status >= 400 &&
                             !transfer.response.body.empty();
  if (code != CURLE_OK && !refused_early) {
    long os_error = 0;
    curl_easy_getinfo(h, CURLINFO_OS_ERRNO, &os_error);
    std::string message = detail[0] != '\0' ? std::string(detail) : std::string(curl_easy_strerror(code));
    if (transfer.too_large)
      message = fmt::format("the answer is over {} MB", kMaxBufferedBody >> 20);
    else if (code == CURLE_COULDNT_CONNECT && os_error != 0)
      message = std::strerror(static_cast<int>(os_error));
    return std::unexpected(
        HttpError{problem_of(code, transfer), std::move(message), static_cast<int>(os_error)});
  }
  return std::move(transfer.response);
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace skerry::cli
