#include "daemon/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "os/file.h"
#include "os/tcp.h"
#include "os/unix_socket.h"

namespace skerry {
namespace {

constexpr uint16_t kDnsPort = 53;
constexpr int kNamesBuffer = 1 << 20;  // datagrams that wait while edge is busy

// Makes a folder with its owner and mode, also when it is there already with others.
Result<void> make_folder(const std::string& path, ProcessUser owner, mode_t mode) {
  TRY(make_directories(path, 0755));
  TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (::fchown(fd.get(), owner.uid, owner.gid) != 0) return fail_errno("chown `{}`", path);
  if (::fchmod(fd.get(), mode) != 0) return fail_errno("chmod `{}`", path);
  return {};
}

}  // namespace

Supervisor::Supervisor(const Logger& logger, const DaemonConfig& config, std::string config_path, std::string program_dir)
    : logger_(logger), config_(config), config_path_(std::move(config_path)), program_dir_(std::move(program_dir)) {}

Result<void> Supervisor::make_folders() {
  const ProcessUser root{};
  const std::string& state = config_.state_dir;
  TRY(make_folder(state, root, 0755));
  TRY(make_folder(config_.run_dir, root, 0711));
  // SECURITY: layers belong to shifted ids; nobody but root may walk into them, whatever files are inside.
  TRY(make_folder(state + "/layers", root, 0700));
  TRY(make_folder(state + "/edge", config_.edge, 0700));
  TRY(make_folder(state + "/control", config_.control, 0700));
  TRY(make_folder(state + "/keeper", config_.keeper, 0711));  // the public half of its key is read by control
  // Written by edge, read by control: setgid so that new files carry control's group.
  TRY(make_folder(state + "/logs", {config_.edge.uid, config_.control.gid}, 02770));
  TRY(make_folder(state + "/journal", {config_.edge.uid, config_.control.gid}, 02770));
  return {};
}

Result<void> Supervisor::make_sockets() {
  const std::string& run = config_.run_dir;
  const auto unix_socket = [&](const char* name, SocketType type, SocketOwner owner) -> Result<void> {
    TRY_ASSIGN(sockets_[name], listen_unix(fmt::format("{}/{}.sock", run, name), type, owner));
    return {};
  };
  const auto tcp_socket = [&](const char* name, uint16_t port) -> Result<void> {
    auto fd = listen_tcp(config_.listen, port);
    if (!fd && fd.error().sys_errno() == EADDRINUSE)
      return fail(ErrorCode::kConflict, "{} port {} is in use by another program (`ss -ltnp 'sport = :{}'` names it); stop it, or set [ports] {} in {}",
                  config_.listen, port, port, name == std::string_view("api_tls") ? "api" : name, config_path_);
    if (!fd) return pass(std::move(fd).error());
    sockets_[name] = std::move(*fd);
    return {};
  };
  TRY(tcp_socket("https", config_.https_port));
  TRY(tcp_socket("http", config_.http_port));
  TRY(tcp_socket("api_tls", config_.api_port));
  TRY(make_container_sockets());
  // Everyone may connect to the API's socket; without a token nobody is told anything.
  TRY(unix_socket("control", SocketType::kStream, {config_.control.uid, config_.control.gid, 0666}));
  TRY(unix_socket("watch", SocketType::kStream, {config_.edge.uid, config_.edge.gid, 0600}));
  // edge and control both talk to starter, which tells them apart by SO_PEERCRED.
  TRY(unix_socket("starter", SocketType::kSeqpacket, {0, 0, 0666}));
  TRY(unix_socket("filler", SocketType::kSeqpacket, {config_.control.uid, config_.control.gid, 0600}));
  TRY(unix_socket("reaper", SocketType::kSeqpacket, {0, 0, 0600}));
  TRY(unix_socket("keeper", SocketType::kSeqpacket, {0, 0, 0600}));
  return {};
}

// What containers reach of the host, at the address that their links' host ends have: names, and ingress. edge serves both.
Result<void> Supervisor::make_container_sockets() {
  TRY_ASSIGN(const ContainerNetwork network, container_network(config_));
  const std::string gateway = network.gateway_text();
  const auto in_use = [&](const Error& error, uint16_t port) {
    if (error.sys_errno() != EADDRINUSE) return error;
    return Error(ErrorCode::kConflict, fmt::format("{} port {} is in use by another program (`ss -lntup 'sport = :{}'` names it): where it serves all addresses of this machine, "
                                                   "name those that it shall serve, or stop it", gateway, port, port));
  };
  auto names = bind_udp(gateway, kDnsPort, Presence::kLater, kNamesBuffer);
  if (!names) return std::unexpected(in_use(names.error(), kDnsPort));
  sockets_["dns"] = std::move(*names);
  auto names_tcp = listen_tcp(gateway, kDnsPort, Presence::kLater);
  if (!names_tcp) return std::unexpected(in_use(names_tcp.error(), kDnsPort));
  sockets_["dns_tcp"] = std::move(*names_tcp);
  if (config_.listen == "0.0.0.0") return {};  // ingress serves the gateway address already
  auto calls = listen_tcp(gateway, config_.https_port, Presence::kLater);
  if (!calls) return std::unexpected(in_use(calls.error(), config_.https_port));
  sockets_["calls"] = std::move(*calls);
  return {};
}

void Supervisor::describe_services() {
  const auto fd = [&](const char* name) { return sockets_.at(name).get(); };
  const auto sandbox = [&](const char* role) {
    Service s;
    s.name = role;
    s.argv = {program_dir_ + "/skerry-sandboxd", role, "--run-dir", config_.run_dir, "--state-dir", config_.state_dir, "--edge-uid",
              std::to_string(config_.edge.uid), "--edge-gid", std::to_string(config_.edge.gid), "--control-uid", std::to_string(config_.control.uid),
              "--control-gid", std::to_string(config_.control.gid), "--tag", config_.tag, "--subnet", config_.subnet, "--https-port", std::to_string(config_.https_port),
              "--max-memory-mb", std::to_string(config_.max_memory_mb), "--max-job-memory-mb", std::to_string(config_.build_memory_mb),
              "--max-scratch-mb", std::to_string(config_.max_scratch_mb), "--max-scratch-total-mb", std::to_string(config_.max_scratch_total_mb),
              "--free-disk-mb", std::to_string(config_.free_disk_mb),
              "--bandwidth-mbit", std::to_string(config_.bandwidth_mbit)};
    std::string open;
    for (const EgressRule& rule : config_.egress_open) open += (open.empty() ? "" : ",") + rule.text();
    if (!open.empty()) s.argv.insert(s.argv.end(), {"--open", open});
    s.sockets = {{role, fd(role)}};
    s.plain_fd3 = true;
    return s;
  };
  Service keeper;
  keeper.name = "keeper";
  keeper.argv = {program_dir_ + "/skerry-keeper", "--run-dir", config_.run_dir, "--state-dir", config_.state_dir};
  keeper.user = config_.keeper;
  keeper.sockets = {{"keeper", fd("keeper")}};
  keeper.plain_fd3 = true;
  Service control;
  control.name = "control";
  control.argv = {program_dir_ + "/skerry-control", "--config", config_path_};
  control.user = config_.control;
  control.sockets = {{"api", fd("control")}, {"api_tls", fd("api_tls")}, {"watch", fd("watch")}};
  Service edge;
  edge.name = "edge";
  edge.argv = {program_dir_ + "/skerry-edge", "--config", config_path_};
  edge.user = config_.edge;
  edge.sockets = {{"https", fd("https")}, {"http", fd("http")}, {"dns", fd("dns")}, {"dns_tcp", fd("dns_tcp")}};
  if (sockets_.contains("calls")) edge.sockets.emplace_back("calls", fd("calls"));
  services_ = {std::move(keeper), sandbox("reaper"), sandbox("filler"), sandbox("starter"), std::move(control), std::move(edge)};
}

Result<void> Supervisor::start_service(Service& service) {
  SpawnOptions options;
  options.argv = service.argv;
  options.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"};
  // Control's build jobs may see named variables of the host (proxies, mirrors); nobody else gets any.
  if (service.name == "control") {
    for (const std::string& name : config_.build_environment)
      if (const char* value = std::getenv(name.c_str()); value != nullptr) options.env.push_back(name + "=" + value);
  }
  options.uid = service.user.uid;
  options.gid = service.user.gid;
  options.die_with_parent = true;
  options.fds = {{STDERR_FILENO, STDERR_FILENO}};
  std::string list;
  int next = 3;
  for (const auto& [name, fd] : service.sockets) {
    options.fds.emplace_back(fd, next);
    list += fmt::format("{}{}={}", list.empty() ? "" : ",", name, next++);
  }
  if (!service.plain_fd3) options.env.push_back("SKERRY_FDS=" + list);
  TRY_ASSIGN(const Child child, spawn(options), service.name);
  service.pid = child.pid;
  service.started = std::chrono::steady_clock::now();
  service.started_wall_ms = SystemClock().wall_ms();
  logger_.info("started", {{"service", service.name}, {"pid", service.pid}, {"restarts", service.restarts}});
  return {};
}

Result<void> Supervisor::start() {
  if (config_.edge.uid == 0 || config_.control.uid == 0 || config_.keeper.uid == 0)
    return fail(ErrorCode::kInvalidArgument, "the system users skerry-edge, skerry-control and skerry-keeper are missing; `make up` makes them, or name others in [users]");
  // Containers outlive their starter; their last parent is here, so that they are reaped.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return fail_errno("become subreaper");
  TRY(make_folders());
  TRY(make_sockets());
  describe_services();
  for (Service& service : services_) TRY(start_service(service));
  write_process_table();
  return {};
}

// <run>/processes.json, for `skerry status`.
void Supervisor::write_process_table() {
  std::string text = "[";
  for (const Service& s : services_) {
    text += fmt::format(R"({}{{"name":"{}","pid":{},"started_at":"{}","restarts":{}}})", text.size() > 1 ? "," : "", s.name, s.pid,
                        format_rfc3339_ms(s.started_wall_ms), s.restarts);
  }
  text += "]\n";
  auto directory = open_at(AT_FDCWD, config_.run_dir, O_RDONLY | O_DIRECTORY);
  if (!directory || !write_file_atomic(directory->get(), "processes.json", text, 0644)) logger_.warn("processes.json cannot be written");
}

void Supervisor::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    const auto service = std::find_if(services_.begin(), services_.end(), [&](const Service& s) { return s.pid == pid; });
    if (service == services_.end()) continue;  // a container that outlived its starter
    const auto now = std::chrono::steady_clock::now();
    service->pid = -1;
    ++service->restarts;
    service->backoff = now - service->started > kStable ? kFirstBackoff : std::min(service->backoff * 2, kMaxBackoff);
    service->restart_at = now + service->backoff;
    logger_.warn("ended", {{"service", service->name},
                           {"pid", pid},
                           {"status", WIFEXITED(status) ? WEXITSTATUS(status) : -1},
                           {"signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0},
                           {"again_in_ms", service->backoff.count()}});
  }
}

void Supervisor::restart_due() {
  bool changed = false;
  for (Service& service : services_) {
    if (service.pid >= 0 || std::chrono::steady_clock::now() < service.restart_at) continue;
    if (auto started = start_service(service); !started) {
      logger_.error("cannot start", {{"service", service.name}, {"error", started.error().message()}});
      service.backoff = std::min(service.backoff * 2, kMaxBackoff);
      service.restart_at = std::chrono::steady_clock::now() + service.backoff;
    }
    changed = true;
  }
  if (changed) write_process_table();
}

void Supervisor::run() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&set, s);
  for (;;) {
    reap();
    restart_due();
    auto wake = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    for (const Service& service : services_)
      if (service.pid < 0) wake = std::min(wake, service.restart_at);
    const auto left = std::max<std::chrono::nanoseconds>(std::chrono::milliseconds(1), wake - std::chrono::steady_clock::now());
    const timespec limit{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
    const int signal = ::sigtimedwait(&set, nullptr, &limit);
    if (signal == SIGTERM || signal == SIGINT) break;
  }
  stop_all();
}

void Supervisor::stop_all() {
  const auto end = std::chrono::steady_clock::now() + kStopTime;
  // Reverse order: edge finishes its requests while everything that it needs is still there.
  for (auto service = services_.rbegin(); service != services_.rend(); ++service) {
    if (service->pid < 0) continue;
    ::kill(service->pid, SIGTERM);
    bool killed = false;
    while (::waitpid(service->pid, nullptr, WNOHANG) == 0) {
      if (!killed && std::chrono::steady_clock::now() > end) {
        ::kill(service->pid, SIGKILL);
        killed = true;
      }
      const timespec pause{0, 5'000'000};
      ::nanosleep(&pause, nullptr);
    }
    logger_.info("stopped", {{"service", service->name}});
  }
  for (const char* name : {"control", "watch", "starter", "filler", "reaper", "keeper"}) ::unlink(fmt::format("{}/{}.sock", config_.run_dir, name).c_str());
  for (const char* name : {"processes.json", "features.jsonl"}) ::unlink((config_.run_dir + "/" + name).c_str());
}

}  // namespace skerry
