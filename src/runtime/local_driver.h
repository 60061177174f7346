// LocalDriver: instances as containers of this machine, made by sandboxd. Watches each one start, keeps its log and its connections, and tells
// dispatch what became of it. Also what ingress asks for a connection to an instance that it holds a lease of.
//
// Owns one Instance per container, from start() or adoption until it has exited. Thread: edge's loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/log.h"
#include "contract/driver.h"
#include "loop/scope.h"
#include "net/http_client.h"
#include "runtime/function_log.h"
#include "runtime/starter_client.h"

namespace skerry {

class LocalDriver final : public Driver, private StarterClient::Receiver {
 public:
  static constexpr Duration kDrainTime = std::chrono::seconds(10);    // CONTRACT: SIGTERM, then SIGKILL
  static constexpr Duration kSandboxTime = std::chrono::seconds(15);  // for sandboxd to make the container
  static constexpr Duration kKeeperLag = std::chrono::milliseconds(100);  // for keeper to pass on what was printed
  static constexpr Duration kEndTime = std::chrono::milliseconds(200);  // from the end of a program's output to word of its exit
  static constexpr Duration kProbeTime = std::chrono::seconds(2);     // one health probe of an own server

  LocalDriver(Loop& loop, const Logger& logger, FunctionLog& log, std::string run_dir);
  ~LocalDriver() override;

  // Where events go; set once, before anything is started.
  void set_events(DriverEvents& events) { events_ = &events; }
  // An instance found after a restart. `wanted(id, revision)` says whether to keep it; what is not wanted is killed.
  using Adopt = std::function<bool(const InstanceId&, const RevisionId&)>;
  using FindRevision = std::function<const RevisionConfig*(const RevisionId&, FunctionId&)>;
  void set_adoption(FindRevision find, Adopt adopt) {
    find_revision_ = std::move(find);
    adopt_ = std::move(adopt);
  }
  // Hears which address (IPv4, host byte order) an instance calls from, before it is ready.
  void set_placement(std::function<void(const InstanceId&, uint32_t)> placed) { placed_ = std::move(placed); }
  // Connects to sandboxd.
  void run();
  // Runtimes to keep ready, instead of those named before.
  void keep_spares(const std::vector<sandbox::SpareOrder>& orders);
  // For which egress policies sandboxd keeps slots ready, those that matter most first.
  void keep_policies(const std::vector<EgressPolicy>& policies);

  void start(const InstanceId& instance, const FunctionId& function, const RevisionConfig& revision) override;
  void stop(const InstanceId& instance, StopKind kind) override;
  std::optional<uint64_t> cpu_time_us(const InstanceId& instance) override;
  Result<void> freeze(const InstanceId& instance) override;
  Result<void> thaw(const InstanceId& instance) override;

  // ---- for the holder of a lease
  // An idle connection or a new one. kUnavailable when the instance is gone.
  Task<Result<std::unique_ptr<HttpClientConnection>>> connect(InstanceId instance, TimePoint deadline);
  void keep(const InstanceId& instance, std::unique_ptr<HttpClientConnection> connection);
  // Log lines of the instance carry this request's id from here on; "" ends it after what the instance has written already.
  void set_request(const InstanceId& instance, std::string_view request_id);
  // CPU time used so far, in microseconds; 0 where it is not known.
  uint64_t cpu_us(const InstanceId& instance) { return cpu_time_us(instance).value_or(0); }
  // Why the instance ended, for the caller's answer: "" while it lives.
  struct Ending {
    bool out_of_memory = false;
    int exit_code = -1;
    int signal = 0;
  };
  // Waits (shortly) for the end of an instance whose connection broke.
  Task<std::unique_ptr<Ending>> ending(InstanceId instance, TimePoint deadline);

 private:
  struct Instance;
  static constexpr size_t kFewSockets = 2;  // into an instance; more are asked for

  void on_message(sandbox::StarterMessage message, std::vector<UniqueFd> fds) override;
  void on_connected() override;
  void on_disconnected() override;

  void on_started(const sandbox::Started& message, std::vector<UniqueFd> fds);
  void on_listed(const sandbox::Listed& message, std::vector<UniqueFd> fds);
  void on_list_end();
  void on_exit_message(const sandbox::Exited& message);
  void ask_for_sockets(const Instance& instance);
  void take_descriptors(Instance& instance, std::vector<UniqueFd> fds);

  Task<void> run_instance(std::shared_ptr<Instance> instance);
  // What came since the phase before is this one's.
  void end_phase(Instance& instance, Duration& phase) const;
  Result<void> send_start(Instance& instance);
  void try_to_send_start(Instance& instance);
  void send_spares();
  void send_policies();
  Task<Result<void>> wait_ready(Instance& instance, TimePoint deadline);
  Task<Result<void>> wait_shim(Instance& instance, TimePoint deadline);
  Task<Result<void>> wait_server(Instance& instance, TimePoint deadline);
  Task<Result<std::unique_ptr<HttpClientConnection>>> connect_server(std::shared_ptr<Instance> instance, Loopback to, TimePoint deadline);
  Task<Result<void>> probe_health(Instance& instance, TimePoint deadline);
  Task<void> read_log(std::shared_ptr<Instance> instance, LogStream stream);
  // Reads what is there, up to a bound; false when there may be more.
  bool drain_log(Instance& instance, LogStream stream);
  // Both, where there is anything.
  void drain_logs(Instance& instance);
  Task<void> end_request_late(std::shared_ptr<Instance> instance);
  Task<void> replace_without_log(std::shared_ptr<Instance> instance);
  Task<void> kill_after_drain(std::shared_ptr<Instance> instance);
  void system_line(const Instance& instance, std::string_view line);
  std::shared_ptr<Instance> find(const InstanceId& id);

  Loop& loop_;
  const Logger& logger_;
  FunctionLog& log_;
  std::string run_dir_;
  DriverEvents* events_ = nullptr;
  FindRevision find_revision_;
  Adopt adopt_;
  std::function<void(const InstanceId&, uint32_t)> placed_ = [](const InstanceId&, uint32_t) {};
  StarterClient client_;
  uint64_t next_request_ = 1;
  uint64_t list_request_ = 0;  // of the connection in use
  std::string spares_;  // the encoded order
  std::string policies_;
  // Two owners: this map until the instance has exited, and the coroutines that still use it.
  std::unordered_map<InstanceId, std::shared_ptr<Instance>> instances_;
  Scope scope_;
};

}  // namespace skerry
