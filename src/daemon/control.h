// Control: the wiring of the management process. Reading the constructor shows who talks to whom.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/log.h"
#include "blob/blob_store.h"
#include "build/pipeline.h"
#include "build/sandbox_client.h"
#include "daemon/config.h"
#include "gateway/deployer.h"
#include "gateway/garbage.h"
#include "gateway/gateway.h"
#include "location/watch_server.h"
#include "loop/scope.h"
#include "net/certificates.h"
#include "net/tls.h"
#include "store/store.h"
#include "usage/collector.h"
#include "vault/vault.h"

namespace skerry {

class Control {
 public:
  static constexpr size_t kMaxConnections = 1000;

  static Result<std::unique_ptr<Control>> create(Loop& loop, const Logger& logger, const DaemonConfig& config);

  // Accepts on the sockets given (any may be invalid) and runs what runs by itself.
  void run(UniqueFd api, UniqueFd api_tls, UniqueFd watch);
  void stop();

 private:
  struct Identity {
    std::string gateway_id;
    std::string ca_pem;
    CertificatePair certificate;  // for *.<domain>, and for the API
  };
  Control(Loop& loop, const Logger& logger, const DaemonConfig& config, std::unique_ptr<Store> store, Vault vault, BlobStore blobs, Identity identity,
          std::unique_ptr<TlsContext> tls);
  static Result<Identity> make_identity(Store& store, const DaemonConfig& config, const std::string& folder);
  static Result<void> make_first_token(Store& store, const std::string& folder);

  Task<void> serve(UniqueFd fd);
  Task<void> serve_tls(UniqueFd fd);
  Task<void> collect_usage();
  Task<void> collect_garbage();
  // Runs for months: what expires is replaced while it runs, and edges are told.
  Task<void> renew_certificate();
  Result<bool> take_new_certificate();

  Loop& loop_;
  const Logger& logger_;
  const DaemonConfig& config_;
  std::unique_ptr<Store> store_;
  Vault vault_;
  BlobStore blobs_;
  Identity identity_;
  std::unique_ptr<TlsContext> tls_;
  Garbage garbage_;
  usage::Collector usage_;
  SandboxJobs jobs_;
  SandboxLayers layers_;
  Pipeline pipeline_;
  WatchServer watch_;
  Deployer deployer_;
  Gateway gateway_;
  ServerLimits server_limits_;
  bool draining_ = false;
  std::vector<std::unique_ptr<Listener>> listeners_;
  Scope connections_;
  Scope background_;
};

}  // namespace skerry
