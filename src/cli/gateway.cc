#include "cli/gateway.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "os/file.h"

namespace skerry::cli {
namespace {

inline constexpr size_t kMaxCaBytes = 256 * 1024;

Exit exit_of_api(std::string_view code, int status) {
  if (code == "unauthorized" || code == "forbidden" || status == 401 || status == 403) return Exit::kAuth;
  if (code == "build_failed" || code == "start_failed") return Exit::kBuildFailed;
  if (code == "not_found") return Exit::kNotFound;
  if (code == "too_large" || code == "limit_reached" || code == "no_space") return Exit::kLimit;
  if (code == "bad_request") return Exit::kUsage;
  if (code == "unavailable") return Exit::kUnreachable;
  return Exit::kFailed;
}

std::string text_of(const json::object& from, std::string_view key) {
  const json::value* v = from.if_contains(key);
  return v != nullptr && v->is_string() ? std::string(v->get_string()) : std::string();
}

// Splits a stream into lines and parses each.
class LineParser {
 public:
  explicit LineParser(const Gateway::OnLine& on_line) : on_line_(on_line) {}

  bool feed(std::string_view piece) {
    buffer_.append(piece);
    size_t at = 0;
    for (size_t end = buffer_.find('\n'); end != std::string::npos;
         at = end + 1, end = buffer_.find('\n', at)) {
      if (!line(std::string_view(buffer_).substr(at, end - at))) return false;
    }
    buffer_.erase(0, at);
    if (buffer_.size() > kMaxStreamLine)
      return problem_ = fmt::format("a line of the answer is over {} KB", kMaxStreamLine >> 10), false;
    return true;
  }
  bool finish() { return buffer_.empty() || line(buffer_); }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  bool line(std::string_view text) {
    while (text.ends_with('\r')) text.remove_suffix(1);
    if (text.empty()) return true;
    auto parsed = json::parse(text);
    if (!parsed || !parsed->is_object()) return problem_ = "a line of the answer is not a JSON object", false;
    return on_line_(std::move(parsed->get_object()));
  }

  const Gateway::OnLine& on_line_;
  std::string buffer_;
  std::string problem_;
};

}  // namespace

bool looks_like_certificate(std::string_view pem) {
  return pem.size() <= kMaxCaBytes && pem.find("-----BEGIN CERTIFICATE-----") != std::string_view::npos &&
         pem.find("-----END CERTIFICATE-----") != std::string_view::npos &&
         pem.find("PRIVATE KEY") == std::string_view::npos;
}

Gateway::Gateway(const Config& config, Endpoint endpoint) : config_(config), endpoint_(std::move(endpoint)) {}

Failure Gateway::failure_of(const json::object& error, int status) {
  const std::string code = text_of(error, "code");
  std::string message = text_of(error, "message");
  if (message.empty()) message = fmt::format("the gateway refused with {} {}", status, code);
  Failure failure(exit_of_api(code, status), code.empty() ? "unknown" : code, std::move(message));
  failure.request_id = text_of(error, "request_id");
  // Said by the ingress and never by a gateway: the URL names the wrong port.
  if (code == "no_such_function" || code == "misdirected") {
    failure.exit = Exit::kUnreachable;
    failure.message = "this is where functions answer, not the gateway's API";
    failure.hint =
        "check SKERRY_URL or `skerry config`: the API has a port of its own, 8081 unless its operator chose "
        "another";
  }
  if (const json::value* details = error.if_contains("details"); details != nullptr && details->is_object())
    failure.details = details->get_object();
  if (failure.exit == Exit::kAuth)
    failure.hint =
        "set SKERRY_TOKEN, or run `skerry config set token`; the operator of the gateway has the token";
  return failure;
}

Failure Gateway::refused(const HttpResponse& response) const {
  const auto parsed = json::parse(response.body);
  if (parsed && parsed->is_object()) {
    if (const json::value* error = parsed->get_object().if_contains("error");
        error != nullptr && error->is_object()) {
      Failure failure = failure_of(error->get_object(), response.status);
      if (const std::string after = response.header("Retry-After"); !after.empty())
        failure.hint = fmt::format("try again in {} s", after);
      return failure;
    }
  }
  Exit exit = exit_of_api("", response.status);
  if (response.status == 503) exit = Exit::kUnreachable;
  return {exit, "unexpected_answer",
          fmt::format("`{}` answered {} without the API's error format", endpoint_.text, response.status),
          "is this the address of a Skerry gateway? It is a unix socket, or https on port 8081"};
}

Failure Gateway::unreachable(const HttpError& error) const {
  const std::string message = fmt::format("cannot reach the gateway at {} (from {}): {}", endpoint_.text,
                                          config_.url_from, error.message);
  if (error.problem == HttpProblem::kCancelled) return {Exit::kFailed, "cancelled", "stopped"};
  if (error.problem == HttpProblem::kTls) {
    return {Exit::kUnreachable, "tls", message,
            "the certificate is not trusted here: set SKERRY_CA to the gateway's CA file (`skerry trust "
            "--print` on its machine shows it)"};
  }
  if (error.sys_errno == EACCES)
    return {Exit::kUnreachable, "unreachable", message,
            "the socket is for root and the group `skerry`: use sudo, or add yourself to that group"};
  if (endpoint_.kind == Endpoint::Kind::kUnix)
    return {Exit::kUnreachable, "unreachable", message,
            "is Skerry running here? `make up` starts it; for another machine set SKERRY_URL"};
  return {Exit::kUnreachable, "unreachable", message,
          "check SKERRY_URL, and that the gateway's port is open"};
}

HttpRequest Gateway::request(const std::string& method, const std::string& path, const Query& query) {
  HttpRequest out;
  out.method = method;
  out.url = endpoint_.base_url + path;
  char separator = '?';
  for (const auto& [name, value] : query) {
    if (value.empty()) continue;
    out.url += fmt::format("{}{}={}", separator, percent_encode(name), percent_encode(value));
    separator = '&';
  }
  out.unix_socket = endpoint_.socket_path;
  out.direct = endpoint_.is_local();
  out.ca_pem = tls_ca_;
  if (!config_.token.empty()) out.headers.push_back({"Authorization", "Bearer " + config_.token});
  out.headers.push_back({"Accept", "application/json"});
  out.headers.push_back({"User-Agent", "skerry/" SKERRY_VERSION});
  return out;
}

Outcome<> Gateway::prepare() {
  if (prepared_) return {};
  prepared_ = true;
  if (endpoint_.kind != Endpoint::Kind::kHttps) return {};
  TRY_ASSIGN(tls_ca_, ca_pem());
  return {};
}

Outcome<HttpResponse> Gateway::perform(const HttpRequest& request) {
  auto response = client_.send(request);
  if (!response) return std::unexpected(unreachable(response.error()));
  if (response->status < 200 || response->status > 299) return std::unexpected(refused(*response));
  return std::move(*response);
}

Outcome<json::value> Gateway::get(const std::string& path, const Query& query) {
  TRY(prepare());
  TRY_ASSIGN(const HttpResponse response, perform(request("GET", path, query)));
  auto parsed = json::parse(response.body);
  if (!parsed || !parsed->is_object())
    return std::unexpected(Failure(Exit::kFailed, "unexpected_answer",
                                   fmt::format("GET {}: the answer is not a JSON object", path)));
  return std::move(*parsed);
}

Outcome<json::value> Gateway::send(const std::string& method, const std::string& path,
                                   const json::object& body) {
  TRY(prepare());
  HttpRequest out = request(method, path, {});
  out.headers.push_back({"Content-Type", "application/json"});
  out.body = json::serialize(body);
  out.has_body = true;
  TRY_ASSIGN(const HttpResponse response, perform(out));
  auto parsed = json::parse(response.body);
  if (!parsed || !parsed->is_object())
    return std::unexpected(Failure(Exit::kFailed, "unexpected_answer",
                                   fmt::format("{} {}: the answer is not a JSON object", method, path)));
  return std::move(*parsed);
}

Outcome<json::value> Gateway::remove(const std::string& path, const Query& query) {
  TRY(prepare());
  TRY_ASSIGN(const HttpResponse response, perform(request("DELETE", path, query)));
  auto parsed = json::parse(response.body);
  return parsed ? std::move(*parsed) : json::value(nullptr);
}

Outcome<std::string> Gateway::get_text(const std::string& path) {
  TRY(prepare());
  TRY_ASSIGN(HttpResponse response, perform(request("GET", path, {})));
  return std::move(response.body);
}

Outcome<> Gateway::stream(const std::string& method, const std::string& path, const Query& query,
                          const std::optional<json::object>& body, std::chrono::seconds silence,
                          const OnLine& on_line, const std::atomic<bool>* cancel) {
  TRY(prepare());
  HttpRequest out = request(method, path, query);
  if (body) {
    out.headers.push_back({"Content-Type", "application/json"});
    out.body = json::serialize(*body);
    out.has_body = true;
  }
  out.total_timeout = std::chrono::milliseconds(0);
  out.silence_timeout = silence;
  out.cancel = cancel;
  LineParser lines(on_line);
  out.on_body = [&lines](std::string_view piece) { return lines.feed(piece); };
  auto response = client_.send(out);
  if (!lines.problem().empty())
    return std::unexpected(
        Failure(Exit::kFailed, "unexpected_answer", fmt::format("{} {}: {}", method, path, lines.problem())));
  if (!response && response.error().problem == HttpProblem::kCancelled) return {};
  if (!response) return std::unexpected(unreachable(response.error()));
  if (response->status < 200 || response->status > 299) return std::unexpected(refused(*response));
  lines.finish();
  if (!lines.problem().empty())
    return std::unexpected(
        Failure(Exit::kFailed, "unexpected_answer", fmt::format("{} {}: {}", method, path, lines.problem())));
  return {};
}

Outcome<Gateway::Upload> Gateway::upload(int fd, uint64_t bytes, const std::string& digest,
                                         std::function<void(uint64_t, uint64_t)> on_sent,
                                         const std::atomic<bool>* cancel) {
  TRY(prepare());
  HttpRequest out = request("POST", "/v1/uploads", {});
  out.headers.push_back({"Content-Type", "application/gzip"});
  out.headers.push_back({"Skerry-Digest", digest});
  out.upload_fd = fd;
  out.upload_bytes = bytes;
  out.total_timeout = std::chrono::milliseconds(0);
  out.silence_timeout = std::chrono::seconds(60);
  out.on_sent = std::move(on_sent);
  out.cancel = cancel;
  TRY_ASSIGN(const HttpResponse response, perform(out), "upload");
  const auto parsed = json::parse(response.body);
  Upload upload;
  if (parsed && parsed->is_object())
    upload = {text_of(parsed->get_object(), "digest"), text_of(parsed->get_object(), "expires_at")};
  if (upload.digest.empty())
    return std::unexpected(Failure(Exit::kFailed, "unexpected_answer", "upload: the answer names no digest"));
  if (upload.digest != digest) {
    return std::unexpected(
        Failure(Exit::kFailed, "corrupt",
                fmt::format("the upload arrived changed: {} was sent, {} received", digest, upload.digest),
                "try again"));
  }
  return upload;
}

Outcome<std::string> Gateway::ca_pem() {
  if (!config_.ca_path.empty()) {
    auto pem = read_file(config_.ca_path, kMaxCaBytes);
    if (!pem)
      return usage_error("the CA file that SKERRY_CA or `{}` names: {}", config_.path, pem.error().message());
    if (!looks_like_certificate(*pem))
      return usage_error("`{}` is not a certificate in PEM format", config_.ca_path);
    return std::move(*pem);
  }
  if (endpoint_.kind != Endpoint::Kind::kUnix) {
    // SECURITY: a CA that comes over the connection it is to verify proves nothing: only what is already here
    // is trusted.
    auto kept = read_file(config_.cached_ca_path(), kMaxCaBytes);
    return kept && looks_like_certificate(*kept) ? std::move(*kept) : std::string();
  }
  TRY_ASSIGN(const json::value answer, get("/v1/ca"));
  std::string pem = text_of(answer.get_object(), "pem");
  if (!looks_like_certificate(pem))
    return std::unexpected(
        Failure(Exit::kFailed, "unexpected_answer", "GET /v1/ca: the answer is not a certificate"));
  const auto kept = read_file(config_.cached_ca_path(), kMaxCaBytes);
  if (!kept || *kept != pem) {
    TRY(make_directories(config_.directory, 0700));
    TRY_ASSIGN(const UniqueFd directory, open_at(AT_FDCWD, config_.directory, O_RDONLY | O_DIRECTORY));
    TRY(write_file_atomic(directory.get(), "ca.pem", pem, 0644));
  }
  return pem;
}

}  // namespace skerry::cli
