// Edge: the wiring of the process that faces the internet. Reading the constructor shows who talks to whom.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/log.h"
#include "daemon/config.h"
#include "daemon/edge_config.h"
#include "dispatch/dispatcher.h"
#include "ingress/proxy.h"
#include "loop/scope.h"
#include "meter/journal.h"
#include "net/tls.h"
#include "resolver/forwarder.h"
#include "runtime/local_driver.h"

namespace skerry {

class Edge final : private EdgeConfig::Receiver, private Instances, private Meter {
 public:
  static constexpr size_t kMaxConnections = 10'000;  // descriptors: one a client, at most one an instance
  static constexpr size_t kMaxCalls = 2'000;         // connections of containers, beside those: the outside has its own room
  static constexpr Duration kHandshakeTime = std::chrono::seconds(10);
  static constexpr Duration kDrainTime = std::chrono::seconds(10);

  // `logger` gets the process's own lines and one a request.
  Edge(Loop& loop, const Logger& logger, const DaemonConfig& config, const ContainerNetwork& network, std::unique_ptr<meter::Journal> journal);
  ~Edge() override;

  // Any of them may be invalid. The last three are at the gateway address, for containers: names over UDP and TCP, and calls of other functions.
  struct Sockets {
    UniqueFd https, http, dns, dns_tcp, calls;
  };
  // Starts everything that runs by itself, then accepts on the sockets given.
  void run(Sockets sockets);
  // Stops accepting, lets requests finish for kDrainTime, then stops the loop.
  void drain();

 private:
  class Caller;

  // EdgeConfig::Receiver
  void on_configuration(const EdgeConfig& config) override;
  void on_verify(const watch::Verify& request) override;
  // Instances
  Task<Result<Lease>> lease(RevisionId revision, TimePoint deadline, CancelToken& cancel) override;
  void release(const Lease& lease, LeaseEnd end) override { dispatcher_.release(lease, end); }
  Task<Result<std::unique_ptr<HttpClientConnection>>> connect(InstanceId instance, TimePoint deadline) override {
    return driver_.connect(std::move(instance), deadline);
  }
  void keep(const InstanceId& instance, std::unique_ptr<HttpClientConnection> connection) override { driver_.keep(instance, std::move(connection)); }
  void set_request(const InstanceId& instance, std::string_view request_id) override { driver_.set_request(instance, request_id); }
  uint64_t cpu_us(const InstanceId& instance) override { return driver_.cpu_us(instance); }
  Task<Death> death(InstanceId instance, TimePoint deadline) override;
  // Meter
  Result<uint64_t> append(const Measured& request) override;
  void mark_sent(uint64_t record) override { journal_->mark_sent(record); }

  [[nodiscard]] Peer peer_of(int fd, std::string_view scheme) const;
  void listen(UniqueFd fd, std::function<void(UniqueFd)> on_connection);
  void accept_tls(UniqueFd fd);
  Task<void> serve_tls(UniqueFd fd, Peer peer);
  Task<void> serve_plain(UniqueFd fd);
  Task<void> verify(watch::Verify request);
  Task<void> tick();
  Task<void> finish_drain();
  void send_state();
  void use_certificate(const watch::Snapshot& snapshot);
  const RevisionConfig* find_revision(const RevisionId& id, FunctionId& function) const;

  Loop& loop_;
  const Logger& logger_;
  const DaemonConfig& config_;
  ContainerNetwork network_;
  FunctionLog function_log_;
  LocalDriver driver_;
  Dispatcher dispatcher_;
  ProxySettings proxy_settings_;
  AccessLog access_log_;
  Proxy proxy_;
  ServerLimits server_limits_;
  std::unique_ptr<meter::Journal> journal_;
  EdgeConfig watch_;
  std::unique_ptr<TlsContext> tls_;
  std::string certificate_pem_;
  std::map<RevisionId, int64_t> in_traffic_;  // to its min_instances
  std::map<RevisionId, TimePoint> verified_;  // not in traffic (yet), kept until then
  std::string last_state_;
  bool draining_ = false;
  std::vector<std::unique_ptr<Listener>> listeners_;
  dns::Forwarder resolver_;
  Scope connections_;
  Scope calls_;
  Scope background_;
};

}  // namespace skerry
