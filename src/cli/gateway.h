// Gateway: the management API (docs/api.md) as calls that give JSON or a Failure with the right exit code.
//
// Owns one HttpClient. Adds the token, the CA and the request's bounds; maps the API's errors. Knows nothing
// of verbs or terminals.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/config.h"
#include "cli/exit.h"
#include "cli/http_client.h"

namespace skerry::cli {

inline constexpr size_t kMaxStreamLine =
    256 * 1024;  // a log line is cut at 16 KB by the gateway, an event carries a function and a revision
inline constexpr std::chrono::seconds kShipSilence{
    900};  // a build that says nothing; the gateway's own limits end it much earlier

using Query = std::vector<std::pair<std::string, std::string>>;  // empty values are left out

class Gateway {
 public:
  Gateway(const Config& config, Endpoint endpoint);

  [[nodiscard]] const Endpoint& endpoint() const { return endpoint_; }

  Outcome<json::value> get(const std::string& path, const Query& query = {});
  Outcome<json::value> send(const std::string& method, const std::string& path, const json::object& body);
  // null where the answer has no body.
  Outcome<json::value> remove(const std::string& path, const Query& query = {});
  Outcome<std::string> get_text(const std::string& path);

  // Lines of an ndjson answer, parsed. `on_line` gives false to end it (which is not an error). `silence` 0:
  // may be quiet for ever.
  using OnLine = std::function<bool(json::object&&)>;
  Outcome<> stream(const std::string& method, const std::string& path, const Query& query,
                   const std::optional<json::object>& body, std::chrono::seconds silence,
                   const OnLine& on_line, const std::atomic<bool>* cancel = nullptr);

  struct Upload {
    std::string digest;
    std::string expires_at;
  };
  // `digest` ("sha256:..") is checked at both ends.
  Outcome<Upload> upload(int fd, uint64_t bytes, const std::string& digest,
                         std::function<void(uint64_t, uint64_t)> on_sent,
                         const std::atomic<bool>* cancel = nullptr);

  // The CA to trust for this gateway and its functions: SKERRY_CA or the configured file; else GET /v1/ca
  // over the unix socket, which is kept in the configuration's folder; else what is kept there. "" where
  // there is none (then the system's store decides).
  Outcome<std::string> ca_pem();

  // The failure of an error answer: {"error":{"code","message","request_id","details"?}}.
  static Failure failure_of(const json::object& error, int status);

 private:
  HttpRequest request(const std::string& method, const std::string& path, const Query& query);
  Outcome<HttpResponse> perform(const HttpRequest& request);
  Failure unreachable(const HttpError& error) const;
  Failure refused(const HttpResponse& response) const;
  Outcome<> prepare();

  const Config& config_;
  Endpoint endpoint_;
  HttpClient client_;
  std::string tls_ca_;  // for the gateway's own certificate
  bool prepared_ = false;
};

// A certificate in PEM, as far as the CLI must know: bounded, with the right markers.
[[nodiscard]] bool looks_like_certificate(std::string_view pem);

}  // namespace skerry::cli
