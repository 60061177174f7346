// Gateway: the HTTP JSON API under /v1 (docs/api.md). One handler for the unix socket and for TLS; every call but health needs a token.
//
// Thread: control's loop. Bodies are bounded; uploads stream to the blob store. What a caller sends wrong is answered with what, where and what to do.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "blob/blob_store.h"
#include "gateway/deployer.h"
#include "gateway/log_reader.h"
#include "net/http_server.h"
#include "store/store.h"

namespace skerry {

struct GatewaySettings {
  std::string domain;
  std::string location;
  std::string gateway_id;
  uint16_t https_port = 8443;
  uint16_t http_port = 8080;
  uint16_t api_port = 8081;
  std::string run_dir;
  std::string state_dir;
  std::string builds_dir;
  std::string ca_pem;
  SpecCaps caps;
  int ships_per_hour = 60;  // of the organization
  std::function<Result<void>()> collect_usage;  // brings the sums up to now
};

class Gateway final : public RequestHandler {
 public:
  static constexpr size_t kMaxJsonBytes = 2U << 20;
  static constexpr int kRequestsPerMinute = 1000;  // a token

  Gateway(Loop& loop, const Logger& logger, Store& store, BlobStore& blobs, Deployer& deployer, WatchServer& watch, LogReader logs, GatewaySettings settings);

  Task<void> handle(Exchange& exchange) override;
  // GET /v1/ca from now on.
  void set_ca(std::string pem) { settings_.ca_pem = std::move(pem); }

 private:
  struct Call;  // one request, parsed
  struct Window {
    TimePoint start{};
    int count = 0;
  };

  Task<void> route(Call& call);
  Task<void> function_call(Call& call, std::string name, std::string_view rest);
  Task<void> secrets_call(Call& call, std::string_view rest);
  Task<void> tokens_call(Call& call, std::string_view rest);
  Task<void> upload(Call& call);
  Task<void> ship(Call& call);
  Task<void> rollback(Call& call, const FunctionRow& function);
  Task<void> logs(Call& call, const FunctionRow& function);
  Task<void> build_log(Call& call, std::string_view build_id);
  Task<void> put_secret(Call& call, const std::string& name);
  Task<void> usage(Call& call);
  Task<void> status(Call& call);

  Result<std::string> authorize(const Call& call);
  // Counts one call. 0 when it is within the limit, else the seconds until the window ends.
  int64_t over_limit(Window& window, int limit, Duration length);
  Task<Result<json::value>> read_json(Call& call);
  Task<void> answer(Call& call, int status, const json::value& body);
  Task<void> refuse(Call& call, int status, std::string_view code, std::string_view message, const json::object* details = nullptr);
  Task<void> refuse(Call& call, const Error& error);
  // An error's words; of `no_space` with what room there is where, and what to do.
  [[nodiscard]] std::string words_of(std::string_view code, std::string message) const;
  Result<json::object> describe(const FunctionRow& function);
  json::object describe(const FunctionRow& function, const RevisionRow& revision);
  json::array start_log(const FunctionId& function, const RevisionId& revision);

  Loop& loop_;
  const Logger& logger_;
  Store& store_;
  BlobStore& blobs_;
  Deployer& deployer_;
  WatchServer& watch_;
  LogReader logs_;
  GatewaySettings settings_;
  std::map<std::string, Window> request_windows_;  // by token id
  Window deploy_window_;
};

}  // namespace skerry
