// Deployer: what happens between a ship request and traffic, and every other change of what is in traffic.
//
// ship: resolve the function, record the revision, build (or keep the artifact), resolve secrets, have edge start one instance, then move the
// route in one transaction. Nothing half-done is ever in traffic; a revision that was being made when control died is failed at the next start.
// Thread: control's loop; one change of a function at a time.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "build/builder.h"
#include "gateway/spec.h"
#include "location/watch_server.h"
#include "store/store.h"
#include "vault/vault.h"

namespace skerry {

struct CertificateText {
  std::string certificate_pem;
  std::string key_pem;
};

struct DeploySettings {
  std::string domain;
  std::string location;
  std::string gateway_id;
  uint16_t https_port = 8443;
  std::string location_key_path;  // the keeper's public key
};

class ShipProgress : public BuildProgress {
 public:
  virtual void accepted(const FunctionRow& function, const RevisionRow& revision) = 0;
};

// A failed ship, with what the client may see beside the message.
struct ShipFailure {
  std::string code;   // build_failed, start_failed, bad_request, ...
  int status = 500;
  std::string stage;  // or phase
  std::string message;
};

// What a changed secret did to the functions that get it.
struct SecretRollout {
  std::vector<std::string> redeployed;                        // names; the value is in use, or will be as soon as edge is back
  std::vector<std::pair<std::string, std::string>> failed;    // name and why: the function goes on with the value it had
};

class Deployer {
 public:
  static constexpr size_t kTagHosts = 10;  // revisions that keep a host of their own
  static constexpr Duration kApplyTime = std::chrono::seconds(5);

  Deployer(Loop& loop, const Logger& logger, Store& store, const Vault& vault, Builder& builder, WatchServer& watch, DeploySettings settings);

  // At start, before anything is served.
  Result<void> recover();
  Result<watch::Snapshot> snapshot();
  void set_certificate(CertificateText certificate) { certificate_ = std::move(certificate); }
  // All that is in force, certificate included, to every edge that is there.
  Task<Result<void>> publish_all();

  Task<std::expected<RevisionRow, ShipFailure>> ship(ShipRequest request, ShipProgress& progress);
  Task<Result<void>> rollback(FunctionRow function, std::string revision);
  Task<Result<void>> remove(FunctionRow function);
  // Config revisions for every function that gets that secret. One that is being shipped gets its revision when that ship is over.
  // A removed secret goes out of functions that get all; one that lists it by name keeps it until its next ship, which fails by name.
  enum class SecretChange : uint8_t { kSet, kRemoved };
  Task<Result<SecretRollout>> redeploy_for_secret(std::string name, FunctionId only, SecretChange change);

  // Sealed under the vault's key, or removed; does not redeploy.
  Result<void> set_secret(const std::string& name, const FunctionId& function, const SecretBytes& value);

  [[nodiscard]] std::string url(const FunctionRow& function) const;
  [[nodiscard]] std::string url(const FunctionRow& function, const RevisionRow& revision) const;

 private:
  Result<FunctionRow> find_or_make(const ShipRequest& request);
  // Environment name -> the secret that goes there. kInvalidArgument names a listed one that does not exist.
  Result<std::map<std::string, SecretRow>> resolve_secrets(const FunctionId& function, const FunctionSpec& spec);
  struct SealedSecrets {
    std::string blob;             // "" for none
    std::set<std::string> names;  // in the function's environment
  };
  Result<SealedSecrets> seal_secrets(const FunctionId& function, const FunctionSpec& spec);
  RevisionConfig make_config(const FunctionRow& function, const RevisionRow& revision, const FunctionSpec& spec, const BuildResult& artifact, SealedSecrets sealed,
                             ShipProgress& progress);
  // Whether a revision may take traffic though no edge is there to try it: only one whose code is known to start.
  enum class WithoutEdge : uint8_t { kRefuse, kActivate };
  Task<std::expected<void, ShipFailure>> verify(const FunctionRow& function, RevisionRow& row, RevisionConfig config, WithoutEdge without, ShipProgress& progress);
  Task<std::expected<RevisionRow, ShipFailure>> ship_locked(ShipRequest request, FunctionRow function, WithoutEdge without, ShipProgress& progress);
  static BuildRequest build_order(const ShipRequest& request, const FunctionRow& function, const RevisionRow& row);
  // Sets the digest in the request's reference. A revision: the one in traffic, which is already what would be made.
  Task<Result<std::optional<RevisionRow>>> resolve(ShipRequest& request, const FunctionRow& function, const RevisionRow& row, ShipProgress& progress);
  std::optional<RevisionRow> unchanged(const ShipRequest& request, const FunctionRow& function);
  ShipFailure fail_build(RevisionRow& row, const Error& error);
  std::expected<BuildResult, ShipFailure> active_artifact(const FunctionRow& function, RevisionRow& row);
  Task<std::expected<BuildResult, ShipFailure>> build(const ShipRequest& request, const FunctionRow& function, RevisionRow& row, ShipProgress& progress);
  // The same code and configuration once more, with the secrets as they are now.
  Task<std::expected<void, ShipFailure>> renew(FunctionRow function);
  // At the end of every change of a function: renews it when a secret changed meanwhile.
  Task<void> renew_if_stale(FunctionId id, std::string name);
  Result<FunctionConfig> function_config(const FunctionRow& function);
  Task<bool> publish(FunctionId function);
  std::string host(const FunctionRow& function) const;
  void fail_revision(RevisionRow& row, const std::string& why);
  std::unexpected<ShipFailure> fail_ship(RevisionRow& row, const Error& error);

  Loop& loop_;
  const Logger& logger_;
  Store& store_;
  const Vault& vault_;
  Builder& builder_;
  WatchServer& watch_;
  DeploySettings settings_;
  CertificateText certificate_;
  std::set<std::string> busy_;   // functions that are being changed, by name
  std::set<std::string> stale_;  // of these, whose secrets changed meanwhile
};

}  // namespace skerry
