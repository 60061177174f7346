#include "daemon/control.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/id.h"
#include "crypto/encoding.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "os/file.h"

namespace skerry {
namespace {

constexpr int64_t kRenewBeforeSeconds = 30 * 86'400;
constexpr int64_t kLookAtCertificateEverySeconds = 3600;  // at most: clocks are set, machines sleep
constexpr int64_t kRenewAgainSeconds = 60;                // after a failure
constexpr auto kCollectUsageEvery = std::chrono::seconds(1);
constexpr auto kCollectEvery = std::chrono::minutes(10);
constexpr size_t kMaxPemBytes = 64 * 1024;

Result<void> write_private(const std::string& folder, const char* name, std::string_view bytes, mode_t mode) {
  TRY_ASSIGN(const UniqueFd directory, open_at(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY));
  return write_file_atomic(directory.get(), name, bytes, mode);
}

// The stored pair, or a new one from `make` when it is not there or `stale` says so.
Result<CertificatePair> load_or_make(const std::string& folder, const std::string& name, const std::function<bool(const CertificatePair&)>& stale,
                                     const std::function<Result<CertificatePair>()>& make) {
  auto certificate = read_file(folder + "/" + name + ".pem", kMaxPemBytes);
  auto key = read_file(folder + "/" + name + ".key", kMaxPemBytes);
  if (certificate && key) {
    CertificatePair pair{std::move(*certificate), std::move(*key)};
    if (!stale(pair)) return pair;
  }
  TRY_ASSIGN(CertificatePair pair, make());
  // The key first: a certificate without its key would be taken for a pair.
  TRY(write_private(folder, (name + ".key").c_str(), pair.key_pem, 0600));
  TRY(write_private(folder, (name + ".pem").c_str(), pair.certificate_pem, 0644));
  return pair;
}

}  // namespace

Result<Control::Identity> Control::make_identity(Store& store, const DaemonConfig& config, const std::string& folder) {
  Identity identity;
  TRY_ASSIGN(identity.gateway_id, store.meta("gateway_id"));
  if (identity.gateway_id.empty()) {
    identity.gateway_id = random_text(24, "abcdefghijklmnopqrstuvwxyz0123456789");
    TRY(store.set_meta("gateway_id", identity.gateway_id));
  }
  const auto expires_soon = [](const CertificatePair& pair) {
    const auto left = seconds_until_expiry(pair.certificate_pem);
    return !left || *left < kRenewBeforeSeconds;
  };
  TRY_ASSIGN(const CertificatePair authority, load_or_make(folder, "ca", expires_soon, [&] {
               return make_certificate_authority("Skerry local CA " + identity.gateway_id.substr(0, 10));
             }));
  identity.ca_pem = authority.certificate_pem;
  TRY_ASSIGN(identity.certificate, load_or_make(
                                       folder, "server",
                                       [&](const CertificatePair& pair) {
                                         return expires_soon(pair) || !certificate_covers(pair.certificate_pem, "x." + config.domain) ||
                                                !pair.certificate_pem.ends_with(authority.certificate_pem);
                                       },
                                       [&] {
                                         std::vector<std::string> addresses{"127.0.0.1", "::1"};
                                         if (config.listen != "127.0.0.1" && config.listen != "::1" && config.listen != "0.0.0.0" && config.listen != "::")
                                           addresses.push_back(config.listen);
                                         return issue_certificate(authority, {"*." + config.domain, config.domain, "localhost"}, addresses);
                                       }));
  return identity;
}

// The token that the first user works with: its text once in a file for root, its hash in the store.
Result<void> Control::make_first_token(Store& store, const std::string& folder) {
  struct stat st {};
  if (::stat((folder + "/admin.token").c_str(), &st) == 0) return {};
  const std::string token = "skt_" + base64_url(random_bytes(32));
  TRY(store.add_token({new_ulid(), "admin", 0, 0}, hex(sha256(token))));
  return write_private(folder, "admin.token", token + "\n", 0600);
}

Result<std::unique_ptr<Control>> Control::create(Loop& loop, const Logger& logger, const DaemonConfig& config) {
  const std::string folder = config.state_dir + "/control";
  for (const char* name : {"", "/builds", "/build-cache"}) TRY(make_directories(folder + name, 0700));
  TRY_ASSIGN(std::unique_ptr<Store> store, Store::open(folder + "/control.db", loop.clock()));
  TRY_ASSIGN(Vault vault, Vault::open(folder));
  TRY_ASSIGN(BlobStore blobs, BlobStore::open(folder + "/blobs"));
  TRY_ASSIGN(Identity identity, make_identity(*store, config, folder));
  TRY(make_first_token(*store, folder));
  TRY_ASSIGN(std::unique_ptr<TlsContext> tls, TlsContext::server(identity.certificate));
  std::unique_ptr<Control> control(
      new Control(loop, logger, config, std::move(store), std::move(vault), std::move(blobs), std::move(identity), std::move(tls)));
  TRY(control->deployer_.recover());
  return control;
}

namespace {

PipelineSettings pipeline_settings(const DaemonConfig& config, const std::string& local_ca_pem) {
  PipelineSettings s;
  s.images_dir = config.images_dir;
  s.shims_dir = config.shims_dir;
  s.java_library = program_folder(config) + "/skerry-java.so";
  s.builds_dir = config.state_dir + "/control/builds";
  s.cache_dir = config.state_dir + "/control/build-cache";
  s.sources = config.build_sources;
  s.local_ca_pem = local_ca_pem;
  s.registries = config.registries;
  s.limits.memory_bytes = static_cast<uint64_t>(config.build_memory_mb) << 20;
  s.limits.scratch_bytes = s.limits.memory_bytes / 3 * 2;
  s.limits.time = std::chrono::milliseconds(config.build_timeout_ms);
  for (const std::string& name : config.build_environment)
    if (const char* value = std::getenv(name.c_str()); value != nullptr) s.environment.push_back(name + "=" + value);
  return s;
}

}  // namespace

Control::Control(Loop& loop, const Logger& logger, const DaemonConfig& config, std::unique_ptr<Store> store, Vault vault, BlobStore blobs, Identity identity,
                 std::unique_ptr<TlsContext> tls)
    : loop_(loop),
      logger_(logger),
      config_(config),
      store_(std::move(store)),
      vault_(std::move(vault)),
      blobs_(std::move(blobs)),
      identity_(std::move(identity)),
      tls_(std::move(tls)),
      garbage_(*store_, loop.clock(), logger, {config.state_dir + "/control/blobs", config.state_dir + "/control/builds", config.state_dir + "/logs"}),
      usage_(*store_, loop.clock(), config.state_dir + "/journal"),
      jobs_(loop, config.run_dir),
      layers_(loop, config.run_dir),
      pipeline_(loop, logger, blobs_, jobs_, layers_, pipeline_settings(config, identity_.ca_pem)),
      watch_(loop, logger, config.edge.uid, [this] { return deployer_.snapshot(); }),
      deployer_(loop, logger, *store_, vault_, pipeline_, watch_,
                {config.domain, config.location, identity_.gateway_id, config.https_port, config.state_dir + "/keeper/location.pub"}),
      gateway_(loop, logger, *store_, blobs_, deployer_, watch_, LogReader(config.state_dir + "/logs"),
               {config.domain, config.location, identity_.gateway_id, config.https_port, config.http_port, config.api_port, config.run_dir,
                config.state_dir, config.state_dir + "/control/builds", identity_.ca_pem, {config.max_memory_mb, config.max_timeout_ms, config.max_scratch_mb, config.egress_open},
                config.ships_per_hour,
                [this]() -> Result<void> {
                  TRY(usage_.collect());
                  return {};
                }}),
      connections_(loop),
      background_(loop) {
  deployer_.set_certificate({identity_.certificate.certificate_pem, identity_.certificate.key_pem});
  server_limits_.max_body_bytes = limits::kUploadBytes + (1U << 20);
}

void Control::run(UniqueFd api, UniqueFd api_tls, UniqueFd watch) {
  const auto listen = [this](UniqueFd fd, std::function<void(UniqueFd)> on_connection) {
    if (!fd) return;
    listeners_.push_back(std::make_unique<Listener>(loop_, std::move(fd)));
    background_.spawn(listeners_.back()->run(std::move(on_connection)));
  };
  listen(std::move(watch), [this](UniqueFd fd) { watch_.serve(std::move(fd)); });
  listen(std::move(api), [this](UniqueFd fd) {
    if (connections_.running() < kMaxConnections) connections_.spawn(serve(std::move(fd)));
  });
  listen(std::move(api_tls), [this](UniqueFd fd) {
    if (connections_.running() < kMaxConnections) connections_.spawn(serve_tls(std::move(fd)));
  });
  background_.spawn(collect_usage());
  background_.spawn(collect_garbage());
  background_.spawn(renew_certificate());
}

void Control::stop() {
  draining_ = true;
  for (const auto& listener : listeners_) listener->close();
  loop_.stop();
}

Task<void> Control::serve(UniqueFd fd) {
  HttpConnection connection(std::make_unique<Stream>(loop_, std::move(fd)), server_limits_, gateway_);
  co_await connection.serve(draining_);
}

Task<void> Control::serve_tls(UniqueFd fd) {
  auto stream = std::make_unique<TlsStream>(loop_, std::move(fd), *tls_);
  if (!co_await stream->accept(loop_.now() + std::chrono::seconds(10))) co_return;
  HttpConnection connection(std::move(stream), server_limits_, gateway_);
  co_await connection.serve(draining_);
}

// ---- certificates

// Whether there is another than before.
Result<bool> Control::take_new_certificate() {
  TRY_ASSIGN(Identity identity, make_identity(*store_, config_, config_.state_dir + "/control"));
  if (identity.certificate.certificate_pem == identity_.certificate.certificate_pem) return false;
  TRY_ASSIGN(std::unique_ptr<TlsContext> tls, TlsContext::server(identity.certificate));
  identity_ = std::move(identity);
  tls_ = std::move(tls);  // connections hold what they began with
  gateway_.set_ca(identity_.ca_pem);
  deployer_.set_certificate({identity_.certificate.certificate_pem, identity_.certificate.key_pem});
  return true;
}

Task<void> Control::renew_certificate() {
  for (int64_t wait = 0;;) {
    const auto left = seconds_until_expiry(identity_.certificate.certificate_pem);
    if (wait == 0) wait = std::clamp<int64_t>(left.value_or(0) - kRenewBeforeSeconds + 1, 1, kLookAtCertificateEverySeconds);
    co_await loop_.sleep_until(loop_.now() + std::chrono::seconds(std::exchange(wait, 0)));
    auto renewed = take_new_certificate();
    if (!renewed) {
      logger_.error("the certificate cannot be renewed", {{"error", renewed.error().message()}});
      wait = kRenewAgainSeconds;
    } else if (*renewed) {
      logger_.info("the certificate is renewed");
      // An edge that is away gets it with its next snapshot.
      if (auto told = co_await deployer_.publish_all(); !told) logger_.error("edges cannot be told of the new certificate", {{"error", told.error().message()}});
    }
  }
}

// ---- usage and garbage

Task<void> Control::collect_usage() {
  for (;;) {
    if (auto collected = usage_.collect(); !collected) logger_.error("usage cannot be collected", {{"error", collected.error().message()}});
    co_await loop_.sleep_until(loop_.now() + kCollectUsageEvery);
  }
}

Task<void> Control::collect_garbage() {
  for (;;) {
    auto removed = garbage_.collect();
    if (!removed) {
      logger_.error("garbage cannot be collected", {{"error", removed.error().message()}});
    } else if (removed->uploads + removed->blobs + removed->build_logs + removed->function_logs > 0) {
      logger_.info("removed what nothing names any more", {{"uploads", removed->uploads}, {"blobs", removed->blobs}, {"build_logs", removed->build_logs},
                                                           {"function_logs", removed->function_logs}});
    }
    co_await loop_.sleep_until(loop_.now() + kCollectEvery);
  }
}

}  // namespace skerry
