#include "runtime/local_driver.h"

#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <set>

#include "crypto/encoding.h"
#include "json/json.h"
#include "os/file.h"
#include "runtime/local_driver_instance.h"

namespace skerry {
namespace {

constexpr size_t kStatusLineBytes = 4096;
constexpr size_t kFixedDescriptors = 5;  // stdout, stderr, status, CPU counter, freezer
constexpr size_t kMaxIdleConnections = 256;  // of one instance
constexpr uint8_t kMoreSockets = 4;
constexpr auto kResendPause = std::chrono::milliseconds(5);  // half of what a start takes
constexpr auto kFirstRetry = std::chrono::microseconds(200);
constexpr auto kLastRetry = std::chrono::milliseconds(20);

Error start_error(std::string_view phase, std::string_view message) { return Error(ErrorCode::kFunctionFailed, fmt::format("{}: {}", phase, message)); }

}  // namespace

LocalDriver::LocalDriver(Loop& loop, const Logger& logger, FunctionLog& log, std::string run_dir)
    : loop_(loop), logger_(logger), log_(log), run_dir_(std::move(run_dir)), client_(loop, logger, run_dir_ + "/starter.sock", *this), scope_(loop) {}
LocalDriver::~LocalDriver() = default;

void LocalDriver::run() { scope_.spawn(client_.run()); }

std::shared_ptr<LocalDriver::Instance> LocalDriver::find(const InstanceId& id) {
  const auto it = instances_.find(id);
  return it == instances_.end() ? nullptr : it->second;
}

// ---- starting

void LocalDriver::start(const InstanceId& id, const FunctionId& function, const RevisionConfig& revision) {
  auto instance = std::make_shared<Instance>(loop_);
  instance->source = {function, revision.id, id};
  instance->config = revision;
  instances_[id] = instance;
  try_to_send_start(*instance);
  scope_.spawn(run_instance(std::move(instance)));
}

// Leaves it unsent where sandboxd is being restarted, or has not read what it was sent before.
void LocalDriver::try_to_send_start(Instance& instance) {
  const auto sent = send_start(instance);
  instance.sent = sent.has_value();
  if (sent || sent.error().code() == ErrorCode::kUnavailable || sent.error().sys_errno() == EAGAIN) return;
  instance.failed_phase = "sandbox";
  instance.failed_message = sent.error().message();
  instance.progress.set();
}

Result<void> LocalDriver::send_start(Instance& instance) {
  instance.start_request = next_request_++;
  TRY_ASSIGN(const UniqueFd plan, make_sealed_memfd("plan", instance.config.plan(instance.source.instance).encode()));
  UniqueFd secrets;
  std::vector<int> fds{plan.get()};
  if (!instance.config.sealed_secrets.empty()) {
    // What only keeper can open: passed on as it is.
    TRY_ASSIGN(const std::string sealed, decode_base64(instance.config.sealed_secrets), "sealed secrets");
    TRY_ASSIGN(secrets, make_sealed_memfd("secrets", sealed));
    fds.push_back(secrets.get());
  }
  return client_.send(sandbox::Start{instance.start_request}, fds);
}

Task<void> LocalDriver::run_instance(std::shared_ptr<Instance> instance) {
  Instance& i = *instance;
  const InstanceId id = i.source.instance;
  const TimePoint begin = loop_.now();
  // Nothing is told to dispatch from inside its own call to start().
  co_await loop_.sleep_until(begin);
  if (!i.adopted) {
    while (!i.sent && i.failed_phase.empty() && !i.stop_asked && loop_.now() < begin + kSandboxTime) {
      co_await loop_.sleep_until(loop_.now() + kResendPause);
      try_to_send_start(i);
    }
    const Wake wake = i.sent ? co_await i.progress.wait(begin + kSandboxTime) : Wake::kTimeout;
    Result<void> up{};
    if (!i.failed_phase.empty()) up = std::unexpected(start_error(i.failed_phase, i.failed_message));
    else if (wake == Wake::kTimeout) up = std::unexpected(start_error("sandbox", "sandboxd did not answer in time"));
    else up = co_await wait_ready(i, begin + std::chrono::milliseconds(i.config.start_timeout_ms));
    i.status.reset();
    // A spare that ended as it was taken costs a slow start, not a failed one.
    if (!up && i.mode == StartMode::kPrestart && !i.spoke && i.exited.is_set() && !i.stop_asked) {
      RevisionConfig booted = i.config;
      booted.runtime_layers = 0;
      co_return start(id, i.source.function, booted);
    }
    if (up && !i.exited.is_set()) {
      i.ready = true;
      if (!i.stop_asked) events_->on_ready(id, i.mode, i.phases);
    } else if (!i.stop_asked && !i.lost) {
      const std::string text = up ? "process: it ended at once" : up.error().message();
      const size_t colon = text.find(": ");
      system_line(i, "start failed: " + text);
      i.reported = true;
      events_->on_start_failed(id, std::string_view(text).substr(0, colon), std::string_view(text).substr(colon + 2));
    }
    if (!i.ready && i.started && !i.exited.is_set()) (void)client_.send(sandbox::Signal{id.str(), sandbox::SignalKind::kKill});
    if (!i.started) i.exited.set();
  }
  (void)co_await i.exited.wait();
  i.idle.clear();
  drain_logs(i);
  instances_.erase(id);
  if (!i.reported) events_->on_exited(id);
}

void LocalDriver::end_phase(Instance& instance, Duration& phase) const {
  const TimePoint now = loop_.now();
  phase += now - instance.phase_since;
  instance.phase_since = now;
}

Task<Result<void>> LocalDriver::wait_ready(Instance& instance, TimePoint deadline) {
  if (instance.config.transport == Transport::kUnix) co_return co_await wait_shim(instance, deadline);
  CO_TRY(co_await wait_server(instance, deadline));
  if (!instance.config.health_path.empty()) CO_TRY(co_await probe_health(instance, deadline));
  end_phase(instance, instance.phases.ready);
  co_return Result<void>{};
}

// Reads the shim's status lines until it says ready or why not.
Task<Result<void>> LocalDriver::wait_shim(Instance& instance, TimePoint deadline) {
  FdWatch watch(loop_, instance.status.get());
  std::string buffer;
  std::string phase = "runtime";
  for (;;) {
    for (size_t end = buffer.find('\n'); end != std::string::npos; end = buffer.find('\n')) {
      auto line = json::parse(std::string_view(buffer).substr(0, end));
      buffer.erase(0, end + 1);
      if (!line) co_return std::unexpected(start_error(phase, "the shim's status is not JSON"));
      json::ObjectReader reader(*line, "status");
      const std::string said = reader.string("phase", 32), error = reader.string("error", 64), message = reader.string("message", kStatusLineBytes);
      if (!error.empty()) co_return std::unexpected(start_error(phase == "runtime" ? "code" : "ready", message));
      end_phase(instance, said == "ready" ? instance.phases.ready : said == "code" ? instance.phases.code : instance.phases.runtime);
      if (said == "ready") co_return Result<void>{};
      instance.spoke = true;
      if (!said.empty()) phase = said;
    }
    char bytes[kStatusLineBytes];
    const ssize_t n = ::read(instance.status.get(), bytes, sizeof bytes);
    if (n > 0) {
      buffer.append(bytes, static_cast<size_t>(n));
      if (buffer.size() > 2 * kStatusLineBytes) co_return std::unexpected(start_error(phase, "the shim's status line is too long"));
      continue;
    }
    if (n == 0) co_return std::unexpected(start_error(phase, "the process ended before it was ready; see the function's log"));
    if (errno != EAGAIN && errno != EINTR) co_return std::unexpected(start_error(phase, "status pipe"));
    if (errno == EAGAIN && co_await watch.readable().wait(deadline) == Wake::kTimeout)
      co_return std::unexpected(start_error(phase, fmt::format("not ready within {} ms", instance.config.start_timeout_ms)));
  }
}

// An own server is up when its port accepts, at either loopback address: `localhost` is ::1 to some runtimes. Nothing tells when that happens, so it is asked,
// with pauses from 0.2 to 20 ms.
Task<Result<void>> LocalDriver::wait_server(Instance& instance, TimePoint deadline) {
  const TimePoint begin = loop_.now();
  UniqueFd sockets[2];
  while (loop_.now() < deadline) {
    if (instance.exited.is_set()) co_return std::unexpected(start_error("ready", "the process ended before its port accepted; see the function's log"));
    for (const Loopback to : {Loopback::k127, Loopback::kColon1}) {
      UniqueFd& socket = sockets[static_cast<size_t>(to)];
      if (!socket && !instance.sockets.empty()) {
        socket = std::move(instance.sockets.back());
        instance.sockets.pop_back();
      }
      if (!socket) continue;
      // On the loopback it is decided before connect() returns, whatever that says.
      (void)start_connect_loopback(socket.get(), to, instance.config.port);
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      if (::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &size) == 0) {
        instance.loopback = to;
        auto stream = std::make_unique<Stream>(loop_, std::move(socket));
        stream->expect_nothing_yet();
        instance.idle.push_back(std::make_unique<HttpClientConnection>(std::move(stream)));
        co_return Result<void>{};
      }
      dissolve_connect(socket.get());
    }
    // An attempt takes 40 us: fast programs wait 0.2 ms at most, slow ones a sixteenth of what they took.
    co_await loop_.sleep_until(loop_.now() + std::clamp<Duration>((loop_.now() - begin) / 16, kFirstRetry, kLastRetry));
  }
  co_return std::unexpected(start_error("ready", fmt::format("nothing accepted on port {} within {} ms; listen on 0.0.0.0:$PORT, 127.0.0.1:$PORT or [::1]:$PORT",
                                                             instance.config.port, instance.config.start_timeout_ms)));
}

// Asks the health path until it is not a 5xx.
Task<Result<void>> LocalDriver::probe_health(Instance& instance, TimePoint deadline) {
  const std::string request = fmt::format("GET {} HTTP/1.1\r\nhost: localhost\r\nuser-agent: skerry-probe\r\n\r\n", instance.config.health_path);
  int status = 0;
  while (loop_.now() < deadline && !instance.exited.is_set()) {
    const TimePoint probe_end = std::min(deadline, loop_.now() + kProbeTime);
    auto connection = co_await connect(instance.source.instance, probe_end);
    if (connection && co_await (*connection)->write(request, {}, probe_end)) {
      if (auto head = co_await (*connection)->read_head("GET", probe_end); head) {
        status = (*head)->status;
        for (;;) {
          auto piece = co_await (*connection)->read_body(probe_end);
          if (!piece || piece->empty()) break;
        }
        if ((*connection)->reusable()) keep(instance.source.instance, std::move(*connection));
        if (status < 500) co_return Result<void>{};
      }
    }
    co_await loop_.sleep_until(loop_.now() + kLastRetry);
  }
  co_return std::unexpected(start_error("ready", fmt::format("{} did not answer well in time (last status {})", instance.config.health_path, status)));
}

// ---- stopping

void LocalDriver::stop(const InstanceId& id, StopKind kind) {
  const auto instance = find(id);
  if (!instance) return;
  instance->stop_asked = true;
  (void)instance->freezer.thaw();  // what stands still takes no signal; sandboxd sees to it too, but may be away
  (void)client_.send(sandbox::Signal{id.str(), kind == StopKind::kKill ? sandbox::SignalKind::kKill : sandbox::SignalKind::kTerminate});
  instance->idle.clear();
  scope_.spawn(kill_after_drain(instance));
}

Task<void> LocalDriver::kill_after_drain(std::shared_ptr<Instance> instance) {
  // Repeated: a Signal that was sent while sandboxd restarted is lost.
  while (co_await instance->exited.wait(loop_.now() + kDrainTime) == Wake::kTimeout)
    (void)client_.send(sandbox::Signal{instance->source.instance.str(), sandbox::SignalKind::kKill});
}

Task<std::unique_ptr<LocalDriver::Ending>> LocalDriver::ending(InstanceId id, TimePoint deadline) {
  const auto instance = find(id);
  if (!instance || co_await instance->exited.wait(deadline) == Wake::kTimeout) co_return nullptr;
  co_return std::make_unique<Ending>(Ending{instance->end.out_of_memory, instance->end.exit_code, instance->end.term_signal});
}

// ---- what sandboxd says

void LocalDriver::on_message(sandbox::StarterMessage message, std::vector<UniqueFd> fds) {
  if (const auto* started = std::get_if<sandbox::Started>(&message)) {
    on_started(*started, std::move(fds));
  } else if (const auto* failed = std::get_if<sandbox::StartFailed>(&message)) {
    if (const auto instance = find(InstanceId(failed->id)); instance) {
      instance->failed_phase = failed->phase.empty() ? "sandbox" : failed->phase;
      instance->failed_message = failed->message;
      instance->progress.set();
    }
  } else if (const auto* exited = std::get_if<sandbox::Exited>(&message)) {
    on_exit_message(*exited);
  } else if (const auto* listed = std::get_if<sandbox::Listed>(&message)) {
    on_listed(*listed, std::move(fds));
  } else if (const auto* done = std::get_if<sandbox::Done>(&message)) {
    if (done->request == list_request_) on_list_end();
  } else if (const auto* sockets = std::get_if<sandbox::Sockets>(&message)) {
    if (const auto instance = find(InstanceId(sockets->id)); instance)
      for (UniqueFd& fd : fds) instance->sockets.push_back(std::move(fd));
  } else if (const auto* refused = std::get_if<sandbox::Refused>(&message)) {
    for (const auto& [id, instance] : instances_) {
      if (instance->start_request != refused->request || instance->started) continue;
      instance->failed_phase = "plan";
      instance->failed_message = refused->message;
      instance->progress.set();
    }
  }
}

void LocalDriver::take_descriptors(Instance& instance, std::vector<UniqueFd> fds) {
  for (UniqueFd& fd : fds) (void)set_nonblocking(fd.get());
  instance.out = std::move(fds[0]);
  instance.err = std::move(fds[1]);
  instance.status = std::move(fds[2]);
  instance.cpu = std::move(fds[3]);
  if (auto freezer = Freezer::of(std::move(fds[4]))) instance.freezer = std::move(*freezer);
  else logger_.error("an instance cannot be frozen", {{"instance", instance.source.instance.str()}, {"error", freezer.error().message()}});
  for (size_t n = kFixedDescriptors; n < fds.size(); ++n) instance.sockets.push_back(std::move(fds[n]));
}

void LocalDriver::on_started(const sandbox::Started& message, std::vector<UniqueFd> fds) {
  const auto instance = find(InstanceId(message.id));
  if (!instance || fds.size() < kFixedDescriptors) {
    (void)client_.send(sandbox::Signal{message.id, sandbox::SignalKind::kKill});
    if (instance) instance->failed_phase = "process", instance->failed_message = "sandboxd sent too few descriptors", instance->progress.set();
    return;
  }
  take_descriptors(*instance, std::move(fds));
  placed_(instance->source.instance, message.address);
  instance->started = true;
  if (message.prestarted) instance->mode = StartMode::kPrestart;
  using std::chrono::microseconds;
  instance->phases.slot = microseconds(message.slot_us);
  instance->phases.mount = microseconds(message.mount_us);
  instance->phases.runtime = microseconds(message.process_us);
  instance->phase_since = loop_.now();
  scope_.spawn(read_log(instance, LogStream::kStdout));
  scope_.spawn(read_log(instance, LogStream::kStderr));
  if (instance->stop_asked) (void)client_.send(sandbox::Signal{message.id, sandbox::SignalKind::kKill});
  instance->progress.set();
}

void LocalDriver::on_exit_message(const sandbox::Exited& message) {
  const auto instance = find(InstanceId(message.id));
  if (!instance) return;
  instance->end = message;
  if (message.out_of_memory) system_line(*instance, fmt::format("killed: over its memory limit of {} MB", instance->config.limits.memory_bytes >> 20));
  else if (!instance->stop_asked && instance->ready)
    system_line(*instance, message.term_signal != 0 ? fmt::format("the process was ended by signal {}", message.term_signal)
                           : message.exit_code >= 0 ? fmt::format("the process ended with status {}", message.exit_code)
                                                    : "the process ended");
  instance->exited.set();
  instance->progress.set();
}

void LocalDriver::on_connected() {
  for (const auto& [id, instance] : instances_) {
    instance->unaccounted = instance->started;
    if (instance->started && instance->sockets.size() <= kFewSockets) ask_for_sockets(*instance);  // what was asked before may be lost
  }
  list_request_ = next_request_++;
  (void)client_.send(sandbox::List{list_request_});
  send_policies();
  send_spares();
}

void LocalDriver::keep_spares(const std::vector<sandbox::SpareOrder>& orders) {
  std::string encoded = sandbox::encode_spares(orders);
  if (encoded == spares_) return;
  spares_ = std::move(encoded);
  send_spares();
}

void LocalDriver::keep_policies(const std::vector<EgressPolicy>& policies) {
  std::string encoded = sandbox::encode_policies(policies);
  if (encoded == policies_) return;
  policies_ = std::move(encoded);
  send_policies();
}

void LocalDriver::send_policies() {
  if (policies_.empty()) return;
  const auto send = [&]() -> Result<void> {
    TRY_ASSIGN(const UniqueFd list, make_sealed_memfd("policies", policies_));
    const int fds[] = {list.get()};
    return client_.send(sandbox::KeepPolicies{next_request_++}, fds);
  };
  if (auto sent = send(); !sent) logger_.warn("slots were not ordered", {{"error", sent.error().message()}});
}

// A sandboxd that restarts has none, and is told again.
void LocalDriver::send_spares() {
  if (spares_.empty()) return;
  const auto send = [&]() -> Result<void> {
    TRY_ASSIGN(const UniqueFd list, make_sealed_memfd("spares", spares_));
    const int fds[] = {list.get()};
    return client_.send(sandbox::KeepSpares{next_request_++}, fds);
  };
  if (auto sent = send(); !sent) logger_.warn("spares were not ordered", {{"error", sent.error().message()}});
}

// What was asked of a starter that is gone is not made, or is in the next one's list and then ended: dispatch hears that it is over, and asks for
// another if a request still waits.
void LocalDriver::on_disconnected() {
  for (const auto& [id, instance] : instances_) {
    if (!instance->sent || instance->started || instance->exited.is_set()) continue;
    instance->lost = true;
    instance->failed_phase = "sandbox";
    instance->failed_message = "sandboxd restarted during the start";
    instance->progress.set();
  }
}

// Everything that lives was named: what was not, ended while no starter was there to say so.
void LocalDriver::on_list_end() {
  for (const auto& [id, instance] : instances_)
    if (instance->unaccounted && !instance->exited.is_set()) on_exit_message({.id = id.str()});
}

void LocalDriver::on_listed(const sandbox::Listed& message, std::vector<UniqueFd> fds) {
  const InstanceId id(message.id);
  if (const auto known = find(id); known) {
    known->unaccounted = false;
    return;
  }
  FunctionId function;
  const RevisionId revision_id(message.label);
  const RevisionConfig* revision = find_revision_ ? find_revision_(revision_id, function) : nullptr;
  // Without its pipes an instance would die of its next log line: it is not kept.
  if (revision != nullptr && fds.size() >= kFixedDescriptors) {
    auto instance = std::make_shared<Instance>(loop_);
    instance->source = {function, revision_id, id};
    instance->config = *revision;
    instance->started = instance->adopted = instance->ready = true;
    take_descriptors(*instance, std::move(fds));
    placed_(id, message.address);
    (void)instance->freezer.thaw();  // whether it stood still was known to the edge before
    instances_[id] = instance;
    if (adopt_(id, revision_id)) {
      logger_.info("adopted an instance", {{"instance", id.str()}, {"revision", revision_id.str()}});
      scope_.spawn(read_log(instance, LogStream::kStdout));
      scope_.spawn(read_log(instance, LogStream::kStderr));
      scope_.spawn(run_instance(instance));
      return;
    }
    instances_.erase(id);
  }
  logger_.info("ending an instance that nobody needs", {{"instance", message.id}});
  (void)client_.send(sandbox::Signal{message.id, sandbox::SignalKind::kKill});
}

// ---- connections

void LocalDriver::ask_for_sockets(const Instance& instance) {
  if (instance.config.transport == Transport::kTcp) (void)client_.send(sandbox::MoreSockets{next_request_++, instance.source.instance.str(), kMoreSockets});
}

Task<Result<std::unique_ptr<HttpClientConnection>>> LocalDriver::connect(InstanceId id, TimePoint deadline) {
  const auto instance = find(id);
  if (!instance || instance->exited.is_set()) co_return fail(ErrorCode::kUnavailable, "the instance has ended");
  while (!instance->idle.empty()) {
    auto connection = std::move(instance->idle.back());
    instance->idle.pop_back();
    if (!connection->stream().hung_up()) co_return connection;
  }
  if (instance->config.transport == Transport::kUnix) {
    CO_TRY_ASSIGN(auto stream, co_await connect_unix_stream(loop_, fmt::format("{}/instances/{}.sock", run_dir_, id.str()), deadline));
    co_return std::make_unique<HttpClientConnection>(std::move(stream));
  }
  auto connection = co_await connect_server(instance, instance->loopback, deadline);
  if (connection || !instance->adopted) co_return connection;
  // It became ready under an edge that is gone, and with it which address it was.
  const Loopback other = instance->loopback == Loopback::k127 ? Loopback::kColon1 : Loopback::k127;
  connection = co_await connect_server(instance, other, deadline);
  if (connection) instance->loopback = other;
  co_return connection;
}

Task<Result<std::unique_ptr<HttpClientConnection>>> LocalDriver::connect_server(std::shared_ptr<Instance> instance, Loopback to, TimePoint deadline) {
  if (instance->sockets.size() <= kFewSockets) ask_for_sockets(*instance);
  while (instance->sockets.empty()) {
    if (loop_.now() >= deadline || instance->exited.is_set()) co_return fail(ErrorCode::kUnavailable, "no socket into the instance");
    co_await loop_.sleep_until(loop_.now() + kFirstRetry);
  }
  UniqueFd fd = std::move(instance->sockets.back());
  instance->sockets.pop_back();
  CO_TRY(start_connect_loopback(fd.get(), to, instance->config.port));
  auto stream = std::make_unique<Stream>(loop_, std::move(fd));
  CO_TRY(co_await stream->finish_connect(deadline));
  co_return std::make_unique<HttpClientConnection>(std::move(stream));
}

void LocalDriver::keep(const InstanceId& id, std::unique_ptr<HttpClientConnection> connection) {
  const auto instance = find(id);
  if (!instance || instance->stop_asked || instance->exited.is_set()) return;
  // As many as it serves requests at a time: fewer, and a busy instance has a new connection for most of them.
  if (instance->idle.size() < std::min(kMaxIdleConnections, static_cast<size_t>(instance->config.concurrency))) instance->idle.push_back(std::move(connection));
}

}  // namespace skerry
