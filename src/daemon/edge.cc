#include "daemon/edge.h"

#include <arpa/inet.h>

#include <algorithm>
#include <tuple>

#include "net/certificates.h"

namespace skerry {
namespace {
constexpr auto kTick = std::chrono::milliseconds(250);
// A verified revision that no configuration puts into traffic: its ship was given up.
constexpr const char* kSpareId = "00000000000000000000000000";  // starter names each itself
constexpr auto kVerifiedKept = std::chrono::seconds(60);
constexpr size_t kMaxSpareKinds = 16;

// A few of each runtime that the functions here start with, the most used kinds first: a start takes one of them in place of booting its own.
std::vector<sandbox::SpareOrder> spares_for(const std::vector<FunctionConfig>& functions, const DaemonConfig& config) {
  struct Kind {
    StartPlan plan;
    size_t users = 0;
  };
  std::map<std::string, Kind> kinds;
  for (const FunctionConfig& function : functions) {
    for (const RevisionConfig& revision : function.revisions) {
      if (revision.runtime_layers == 0) continue;
      StartPlan plan = spare_of(revision.plan(InstanceId(kSpareId)), kSpareId);
      Kind& kind = kinds[plan.encode()];
      kind.plan = std::move(plan);
      ++kind.users;
    }
  }
  std::vector<Kind> order;
  for (auto& [key, kind] : kinds) order.push_back(std::move(kind));
  std::sort(order.begin(), order.end(), [](const Kind& a, const Kind& b) { return a.users > b.users; });
  if (order.size() > kMaxSpareKinds) order.resize(kMaxSpareKinds);
  std::vector<sandbox::SpareOrder> spares;
  if (config.spares > 0)
    for (Kind& kind : order) spares.push_back({std::move(kind.plan), static_cast<uint8_t>(config.spares)});
  return spares;
}

dns::ForwarderSettings resolver_settings(const DaemonConfig& config, const ContainerNetwork& network) {
  dns::ForwarderSettings s;
  s.zone.gateway = network.gateway;
  for (const char c : config.domain) s.zone.domain += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  s.network = network.network;
  s.mask = network.mask;
  for (const std::string& text : config.dns_resolvers)
    if (auto address = parse_endpoint(text, dns::kDnsPort)) s.servers.push_back(*address);  // read_config has refused others
  return s;
}

// The egress policies of the functions here, the most used first: their starts find slots ready.
std::vector<EgressPolicy> policies_for(const std::vector<FunctionConfig>& functions) {
  std::map<EgressPolicy, size_t> users;
  for (const FunctionConfig& function : functions)
    for (const RevisionConfig& revision : function.revisions)
      if (!revision.egress.empty()) ++users[revision.egress];
  std::vector<std::pair<EgressPolicy, size_t>> order(users.begin(), users.end());
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return std::tie(b.second, a.first) < std::tie(a.second, b.first); });
  if (order.size() > sandbox::kMaxPolicyOrders) order.resize(sandbox::kMaxPolicyOrders);
  std::vector<EgressPolicy> policies;
  for (auto& [policy, count] : order) policies.push_back(std::move(policy));
  return policies;
}

}  // namespace

// One client connection's handler: adds who calls to what it asks.
class Edge::Caller final : public RequestHandler {
 public:
  Caller(Proxy& proxy, const Peer& peer) : proxy_(proxy), peer_(peer) {}
  Task<void> handle(Exchange& exchange) override { return proxy_.handle(exchange, peer_); }

 private:
  Proxy& proxy_;
  const Peer& peer_;
};

Edge::Edge(Loop& loop, const Logger& logger, const DaemonConfig& config, const ContainerNetwork& network, std::unique_ptr<meter::Journal> journal)
    : loop_(loop),
      logger_(logger),
      config_(config),
      network_(network),
      function_log_(loop.clock(), logger, config.state_dir + "/logs", config.location),
      driver_(loop, logger, function_log_, config.run_dir),
      dispatcher_(loop, driver_, static_cast<size_t>(config.max_instances)),
      proxy_settings_{.location = config.location},
      access_log_(loop, logger, config.access_log_sample),
      proxy_(loop, access_log_, proxy_settings_, *this, *this),
      journal_(std::move(journal)),
      watch_(loop, logger, config.run_dir + "/watch.sock", config.state_dir + "/edge", *this),
      resolver_(loop, logger, resolver_settings(config, network)),
      connections_(loop),
      calls_(loop),
      background_(loop) {
  server_limits_.max_body_bytes = limits::kRequestBodyBytes;
  driver_.set_events(dispatcher_);
  driver_.set_placement([this](const InstanceId& instance, uint32_t address) { proxy_.depths().placed(instance, address); });
  driver_.set_adoption([this](const RevisionId& id, FunctionId& function) { return find_revision(id, function); },
                       [this](const InstanceId& instance, const RevisionId& revision) { return dispatcher_.adopt(instance, revision); });
}

Edge::~Edge() = default;

void Edge::run(Sockets sockets) {
  // The stored configuration first: instances that live are adopted by it.
  if (watch_.load()) logger_.info("serving from the stored configuration", {{"version", watch_.snapshot().version}});
  background_.spawn(watch_.run());
  driver_.run();
  background_.spawn(tick());
  resolver_.run(std::move(sockets.dns), std::move(sockets.dns_tcp));
  listen(std::move(sockets.https), [this](UniqueFd fd) { accept_tls(std::move(fd)); });
  listen(std::move(sockets.calls), [this](UniqueFd fd) { accept_tls(std::move(fd)); });
  listen(std::move(sockets.http), [this](UniqueFd fd) {
    if (connections_.running() < kMaxConnections) connections_.spawn(serve_plain(std::move(fd)));
  });
}

void Edge::listen(UniqueFd fd, std::function<void(UniqueFd)> on_connection) {
  if (!fd) return;
  listeners_.push_back(std::make_unique<Listener>(loop_, std::move(fd)));
  background_.spawn(listeners_.back()->run(std::move(on_connection)));
}

Peer Edge::peer_of(int fd, std::string_view scheme) const {
  Peer peer{peer_address(fd), scheme};
  // "203.0.113.7:4711" or "[::1]:4711" without its port.
  if (const size_t colon = peer.address.rfind(':'); colon != std::string::npos) peer.address.resize(colon);
  if (peer.address.starts_with('[') && peer.address.ends_with(']')) peer.address = peer.address.substr(1, peer.address.size() - 2);
  in_addr v4{};
  if (::inet_pton(AF_INET, peer.address.c_str(), &v4) == 1 && network_.holds(ntohl(v4.s_addr))) peer.container = ntohl(v4.s_addr);
  return peer;
}

void Edge::accept_tls(UniqueFd fd) {
  Peer peer = peer_of(fd.get(), "https");
  Scope& scope = peer.container != 0 ? calls_ : connections_;
  if (scope.running() < (peer.container != 0 ? kMaxCalls : kMaxConnections)) scope.spawn(serve_tls(std::move(fd), std::move(peer)));
}

Task<void> Edge::serve_tls(UniqueFd fd, Peer peer) {
  if (!tls_) co_return;  // no certificate yet: nothing could be said that a client would trust
  auto stream = std::make_unique<TlsStream>(loop_, std::move(fd), *tls_);
  if (!co_await stream->accept(loop_.now() + kHandshakeTime)) co_return;
  Caller caller(proxy_, peer);
  HttpConnection connection(std::move(stream), server_limits_, caller);
  co_await connection.serve(draining_);
}

Task<void> Edge::serve_plain(UniqueFd fd) {
  const Peer peer = peer_of(fd.get(), "http");
  Caller caller(proxy_, peer);
  HttpConnection connection(std::make_unique<Stream>(loop_, std::move(fd)), server_limits_, caller);
  co_await connection.serve(draining_);
}

// ---- configuration

const RevisionConfig* Edge::find_revision(const RevisionId& id, FunctionId& function) const {
  for (const auto& [function_id, config] : watch_.functions()) {
    for (const RevisionConfig& revision : config.revisions) {
      if (revision.id != id) continue;
      function = function_id;
      return &revision;
    }
  }
  return nullptr;
}

void Edge::use_certificate(const watch::Snapshot& snapshot) {
  if (snapshot.certificate_pem.empty() || snapshot.certificate_pem == certificate_pem_) return;
  auto context = TlsContext::server({snapshot.certificate_pem, snapshot.key_pem});
  if (!context) {
    logger_.error("the certificate cannot be used; the one before stays", {{"error", context.error().message()}});
    return;
  }
  // Connections that began with the old one keep it alive inside OpenSSL.
  tls_ = std::move(*context);
  certificate_pem_ = snapshot.certificate_pem;
  proxy_.set_covers([this](const std::string& host) { return certificate_covers(certificate_pem_, host); });
}

void Edge::on_configuration(const EdgeConfig& config) {
  use_certificate(config.snapshot());
  std::map<RevisionId, int64_t> now;
  std::vector<FunctionConfig> functions;
  for (const auto& [id, function] : config.functions()) {
    functions.push_back(function);
    for (const RevisionConfig& revision : function.revisions) {
      now[revision.id] = revision.min_instances;
      verified_.erase(revision.id);
      // A revision is immutable but for this: what leaves the function's own traffic is not kept warm any more.
      const auto known = in_traffic_.find(revision.id);
      if (known == in_traffic_.end() || known->second != revision.min_instances) dispatcher_.add_revision(id, revision);
    }
  }
  // The routes first: nobody is sent to a revision that is being retired.
  proxy_.set_routes(std::make_shared<const RouteTable>(functions));
  for (const auto& [revision, minimum] : in_traffic_)
    if (!now.contains(revision)) dispatcher_.retire_revision(revision);
  in_traffic_ = std::move(now);
  driver_.keep_policies(policies_for(functions));
  driver_.keep_spares(spares_for(functions, config_));
  last_state_.clear();  // whoever sent this may be a control that knows no state yet
}

void Edge::on_verify(const watch::Verify& request) { background_.spawn(verify(request)); }

Task<void> Edge::verify(watch::Verify request) {
  const TimePoint begin = loop_.now();
  const RevisionId id = request.revision.id;
  if (!dispatcher_.knows(id)) {
    dispatcher_.add_revision(request.function, request.revision);
    verified_[id] = begin;
  }
  Dispatcher::Wait wait(loop_);
  auto lease = co_await dispatcher_.lease(id, begin + std::chrono::milliseconds(request.revision.start_timeout_ms) + std::chrono::seconds(5), wait);
  watch::Verified answer;
  answer.id = request.id;
  answer.ok = lease.has_value();
  answer.ms = std::chrono::duration_cast<std::chrono::milliseconds>(loop_.now() - begin).count();
  if (lease) {
    dispatcher_.release(*lease, LeaseEnd::kReusable);
  } else {
    const std::string& text = lease.error().message();
    const size_t colon = text.find(": ");
    answer.phase = colon == std::string::npos ? "start" : text.substr(0, colon);
    answer.message = colon == std::string::npos ? text : text.substr(colon + 2);
    if (verified_.erase(id) > 0) dispatcher_.retire_revision(id);
  }
  watch_.send(answer);
}

// ---- what ingress needs

Task<Result<Lease>> Edge::lease(RevisionId revision, TimePoint deadline, CancelToken& cancel) {
  Dispatcher::Wait wait(loop_);
  if (cancel.cancelled()) co_return fail(ErrorCode::kCancelled, "the caller went away");
  cancel.on_cancel([&wait] { wait.cancel(); });
  auto lease = co_await dispatcher_.lease(std::move(revision), deadline, wait);
  cancel.on_cancel({});
  co_return lease;
}

Task<Death> Edge::death(InstanceId instance, TimePoint deadline) {
  const auto ending = co_await driver_.ending(std::move(instance), deadline);
  if (!ending) co_return Death::kAlive;
  co_return ending->out_of_memory ? Death::kOutOfMemory : Death::kExited;
}

Result<uint64_t> Edge::append(const Measured& m) {
  meter::Entry e;
  e.function = m.function.str();
  e.revision = m.revision.str();
  e.location = config_.location;
  e.request_id = m.request_id;
  e.start_mode = static_cast<uint8_t>(m.mode);
  e.status = static_cast<uint16_t>(m.status);
  e.start_wall_ms = m.start_wall_ms;
  e.wall_us = m.wall_us;
  e.cpu_us = m.cpu_us;
  e.memory_mb = m.memory_mb;
  e.request_bytes = m.request_bytes;
  e.response_bytes = m.response_bytes;
  return journal_->append(e);
}

// ---- time

Task<void> Edge::tick() {
  for (;;) {
    co_await loop_.sleep_until(loop_.now() + kTick);
    dispatcher_.tick();
    for (auto it = verified_.begin(); it != verified_.end();) {
      if (loop_.now() - it->second < kVerifiedKept) {
        ++it;
        continue;
      }
      dispatcher_.retire_revision(it->first);
      it = verified_.erase(it);
    }
    send_state();
  }
}

void Edge::send_state() {
  watch::State state;
  for (const auto& i : dispatcher_.instances())
    state.instances.push_back({i.id, i.function, i.revision, std::string(i.state), std::string(to_string(i.mode)), i.started_ms, i.phases});
  std::string text = watch::encode(state);
  if (text == last_state_) return;
  last_state_ = std::move(text);
  watch_.send(state);
}

void Edge::drain() {
  if (draining_) return;
  draining_ = true;
  logger_.info("draining", {{"connections", connections_.running()}});
  for (const auto& listener : listeners_) listener->close();
  background_.spawn(finish_drain());
}

Task<void> Edge::finish_drain() {
  // Idle keep-alive connections hold nothing up: only requests in progress are waited for.
  const TimePoint end = loop_.now() + kDrainTime;
  const auto busy = [this] {
    for (const auto& i : dispatcher_.instances())
      if (i.state == "busy") return true;
    return false;
  };
  while (loop_.now() < end && busy()) co_await loop_.sleep_until(loop_.now() + std::chrono::milliseconds(10));
  loop_.stop();
}

}  // namespace skerry
