#include "sandboxd/starter.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "os/file.h"
#include "sandboxd/namespaces.h"
#include "sandboxd/seccomp_policy.h"
#include "sandboxd/state_file.h"

namespace skerry::sandbox {
namespace {

uint32_t us_between(TimePoint from, TimePoint to) { return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(to - from).count()); }

// What fails before the container exists, with the phase that it failed in.
struct Failure {
  const char* phase;
  Error error;
};

}  // namespace

Result<void> Starter::prepare(UniqueFd listener) {
  TRY(make_directories(settings_.instances_dir(), 0711));
  if (::chmod(settings_.instances_dir().c_str(), 0711) != 0) return fail_errno("chmod instances");
  TRY_ASSIGN(cgroups_, Cgroups::probe(settings_));
  TRY(cgroups_->prepare(), "control groups");
  TRY(mounts_.prepare(), "mounts");
  TRY_ASSIGN(filter_, compile_seccomp_policy());
  TRY_ASSIGN(nothing_, open_at(AT_FDCWD, "/dev/null", O_RDWR));
  listener_ = std::move(listener);
  TRY(poller_.add(listener_.get(), [this] { accept_client(); }));
  adopt();
  return {};
}

void Starter::run(const volatile bool& stop) {
  while (!stop) {
    want_slots();
    for (auto it = unreaped_.begin(); it != unreaped_.end() && reaper_;)
      it = send_message(reaper_.get(), *it) ? unreaped_.erase(it) : (reaper_.reset(), std::next(it));
    poller_.poll(std::chrono::milliseconds(waiting_.empty() ? 1000 : 50));
    while (!waiting_.empty() && now() - waiting_.front().since > kSlotTime) {
      Waiting late = std::move(waiting_.front());
      waiting_.pop_front();
      fail_start(late, "slot", Error(ErrorCode::kNoCapacity, filler_error_.empty() ? "no slot became free in time" : filler_error_));
    }
  }
}

// ---- clients

void Starter::accept_client() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) return;
  const auto peer = peer_credentials(fd.get());
  if (!peer) return;
  Role role;
  // SECURITY: who may ask for what is the kernel's word, never the message's.
  if (peer->uid == 0) role = Role::kRoot;
  else if (peer->uid == settings_.edge_uid) role = Role::kEdge;
  else if (peer->uid == settings_.control_uid) role = Role::kControl;
  else {
    logger_.warn("refused a connection", {{"uid", peer->uid}, {"pid", peer->pid}});
    return;
  }
  const int number = fd.get();
  if (!poller_.add(number, [this, number] { read_client(number); })) return;
  clients_.emplace(number, Client{std::move(fd), role});
}

void Starter::drop_client(int fd) {
  poller_.remove(fd);
  clients_.erase(fd);
  std::erase_if(waiting_, [&](const Waiting& w) { return w.client == fd; });
  // A job belongs to who asked for it; an instance outlives edge.
  for (auto& [id, container] : containers_) {
    if (container.owner != fd) continue;
    container.owner = -1;
    kill_container(container);
  }
}

void Starter::read_client(int fd) {
  auto received = receive_message(fd);
  if (!received) {
    if (received.error().sys_errno() != EAGAIN) drop_client(fd);
    return;
  }
  auto message = decode_client(received->bytes);
  Client& client = clients_.at(fd);
  if (!message) {
    send(fd, Refused{0, message.error().message()});
    return;
  }
  handle(client, std::move(*message), std::move(received->fds));
}

void Starter::send(int client, const StarterMessage& message, std::span<const int> fds) {
  if (client < 0) return;
  if (auto sent = send_message(client, encode(message), fds); !sent) {
    // It does not read: it connects again and lists.
    logger_.warn("a client does not take its messages", {{"error", sent.error().message()}});
    if (clients_.contains(client)) ::shutdown(client, SHUT_RDWR);
  }
}

int Starter::edge() const {
  for (const auto& [fd, client] : clients_)
    if (client.role == Role::kEdge) return fd;
  for (const auto& [fd, client] : clients_)
    if (client.role == Role::kRoot) return fd;
  return -1;
}

void Starter::handle(Client& client, ClientMessage message, std::vector<UniqueFd> fds) {
  const int fd = client.fd.get();
  if (const auto* start = std::get_if<Start>(&message)) return on_start(client, *start, std::move(fds));
  if (const auto* query = std::get_if<List>(&message)) return list(client, query->request);
  const auto find = [&](const std::string& id) -> Container* {
    const auto it = containers_.find(id);
    if (it == containers_.end()) return nullptr;
    const bool allowed = client.role == Role::kRoot || (it->second.kind == PlanKind::kInstance) == (client.role == Role::kEdge);
    return allowed ? &it->second : nullptr;
  };
  if (const auto* signal = std::get_if<Signal>(&message)) {
    Container* c = find(signal->id);
    if (c == nullptr) return;
    // A frozen process takes no signal until it is thawed.
    (void)cgroups_->set_frozen(settings_.group_name(c->index), false);
    if (signal->kind == SignalKind::kKill) kill_container(*c);
    else ::syscall(SYS_pidfd_send_signal, c->process.pidfd.get(), SIGTERM, nullptr, 0);
  } else if (const auto* freeze = std::get_if<SetFrozen>(&message)) {
    Container* c = find(freeze->id);
    auto done = c != nullptr ? cgroups_->set_frozen(settings_.group_name(c->index), freeze->frozen) : fail(ErrorCode::kNotFound, "no such container");
    if (done) send(fd, Done{freeze->request});
    else send(fd, Refused{freeze->request, done.error().message()});
  } else if (const auto* more = std::get_if<MoreSockets>(&message)) {
    Container* c = find(more->id);
    if (c == nullptr || more->count == 0 || more->count > 8) return send(fd, Refused{more->request, "no such container, or not 1 to 8 sockets"});
    auto sockets = make_sockets(*c, more->count);
    if (!sockets) return send(fd, Refused{more->request, sockets.error().message()});
    std::vector<int> numbers;
    for (const UniqueFd& s : *sockets) numbers.push_back(s.get());
    send(fd, Sockets{more->request, more->id}, numbers);
  } else if (const auto* usage = std::get_if<GetUsage>(&message)) {
    const Container* c = find(usage->id);
    if (c == nullptr) return send(fd, Refused{usage->request, "no such container"});
    const std::string group = settings_.group_name(c->index);
    send(fd, Usage{usage->request, usage->id, cgroups_->cpu_us(group), cgroups_->memory_bytes(group)});
  }
}

void Starter::list(Client& client, uint64_t request) {
  for (const auto& [id, c] : containers_) {
    if (c.kind != PlanKind::kInstance || !c.running || client.role == Role::kControl) continue;
    std::vector<UniqueFd> sockets;
    if (c.transport == Transport::kTcp && c.has_pipes)
      if (auto made = make_sockets(c, 4)) sockets = std::move(*made);
    send(client.fd.get(), Listed{request, id, c.label}, instance_descriptors(c, sockets));
  }
  send(client.fd.get(), Done{request});
}

// ---- starting

Result<StartPlan> Starter::read_plan(const Client& client, const std::vector<UniqueFd>& fds) {
  if (fds.empty()) return fail(ErrorCode::kProtocol, "a start without a plan");
  TRY_ASSIGN(const std::string bytes, read_all(fds[0].get(), kMaxPlanBytes), "plan");
  TRY_ASSIGN(StartPlan plan, StartPlan::decode(bytes));
  const bool job = plan.kind == PlanKind::kJob;
  if (client.role != Role::kRoot && job != (client.role == Role::kControl)) return fail(ErrorCode::kForbidden, "this client may not start that kind of container");
  const size_t expected = 1 + (plan.has_secrets ? 1 : 0) + (job ? 3 : 0);
  if (fds.size() != expected) return fail(ErrorCode::kProtocol, "a start with {} descriptors, expected {}", fds.size(), expected);
  if (containers_.contains(plan.id)) return fail(ErrorCode::kConflict, "container {} exists", plan.id);
  if (containers_.size() + waiting_.size() >= kMaxContainers || waiting_.size() >= kMaxWaiting) return fail(ErrorCode::kNoCapacity, "too many containers");
  return plan;
}

void Starter::on_start(Client& client, const Start& start, std::vector<UniqueFd> fds) {
  auto plan = read_plan(client, fds);
  if (!plan) return send(client.fd.get(), Refused{start.request, plan.error().message()});
  Waiting entry{client.fd.get(), start.request, std::move(*plan), std::move(fds), now()};
  waiting_.push_back(std::move(entry));
  serve_waiting();
}

void Starter::serve_waiting() {
  while (!waiting_.empty() && !pool_.empty()) {
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    make_container(std::move(next));
  }
}

void Starter::fail_start(const Waiting& start, std::string_view phase, const Error& error) {
  logger_.warn("a start failed", {{"id", start.plan.id}, {"phase", phase}, {"error", error.message()}});
  send(start.client, StartFailed{start.request, start.plan.id, std::string(phase), error.message(), static_cast<uint8_t>(error.code())});
}

void Starter::make_container(Waiting start) {
  Slot slot = std::move(pool_.front());
  pool_.pop_front();
  const uint32_t index = slot.index;
  Container container;
  container.id = start.plan.id;
  container.label = start.plan.label;
  container.kind = start.plan.kind;
  container.transport = start.plan.transport;
  container.request = start.request;
  container.owner = start.plan.kind == PlanKind::kJob ? start.client : -1;
  container.index = index;
  container.slot_us = us_between(start.since, now());
  if (auto made = make_container_in(std::move(slot), start, container); !made) {
    const std::string phase = made.error().code() == ErrorCode::kNotFound ? "mount" : "process";
    fail_start(start, phase, made.error());
    tell_reaper(index, start.plan.id);
    return;
  }
  const std::string id = container.id;
  const int report = container.process.report.get(), pidfd = container.process.pidfd.get();
  containers_.emplace(id, std::move(container));
  (void)poller_.add(report, [this, id] { on_report(id); });
  (void)poller_.add(pidfd, [this, id] { on_exit(id); });
}

Result<void> Starter::make_container_in(Slot slot, Waiting& start, Container& container) {
  const StartPlan& plan = start.plan;
  const TimePoint begin = now();
  const std::string group = settings_.group_name(slot.index);
  TRY(cgroups_->set_limits(group, plan.limits), "cgroup");
  TRY_ASSIGN(container.cpu, cgroups_->open_cpu_counter(group));
  TRY_ASSIGN(const UniqueFd root, mounts_.build_root(plan, slot));
  container.mount_us = us_between(begin, now());
  container.launched_at = now();

  ProgramFds program;
  UniqueFd out_write, err_write, status_write, listener, secrets;
  if (plan.kind == PlanKind::kJob) {
    const size_t first = plan.has_secrets ? 2 : 1;
    program.in = start.fds[first].get();
    program.out = start.fds[first + 1].get();
    program.err = start.fds[first + 2].get();
  } else {
    const auto pipe_pair = [](UniqueFd& read_end, UniqueFd& write_end) -> Result<void> {
      TRY_ASSIGN(Pipe pipe, make_pipe());
      read_end = std::move(pipe.read);
      write_end = std::move(pipe.write);
      return set_nonblocking(read_end.get());
    };
    TRY(pipe_pair(container.out, out_write));
    TRY(pipe_pair(container.err, err_write));
    TRY(pipe_pair(container.status, status_write));
    container.has_pipes = true;
    program.in = nothing_.get();
    program.out = out_write.get();
    program.err = err_write.get();
    if (plan.transport == Transport::kUnix) {
      TRY_ASSIGN(listener, listen_unix(fmt::format("{}/{}.sock", settings_.instances_dir(), plan.id), SocketType::kStream,
                                       {settings_.edge_uid, settings_.edge_gid, 0600}));
      // Shims expect an ordinary blocking descriptor.
      ::fcntl(listener.get(), F_SETFL, ::fcntl(listener.get(), F_GETFL) & ~O_NONBLOCK);
      program.listener = listener.get();
      program.status = status_write.get();
    }
  }
  if (plan.has_secrets) {
    TRY_ASSIGN(secrets, deliver_secrets(plan.id, start.fds[1].get(), container.out, container.err), "secrets");
    program.secrets = secrets.get();
  }
  TRY_ASSIGN(container.process, launch(plan, slot, root.get(), program, mounts_, filter_));
  container.net_namespace = std::move(slot.net_namespace);
  if (plan.kind == PlanKind::kInstance) TRY(write_state({plan.id, slot.index, container.process.pid, plan.transport, plan.label}, settings_));
  return {};
}

// keeper gets the program's pipes and gives edge new ones, with every secret's value taken out.
Result<UniqueFd> Starter::deliver_secrets(const std::string& id, int sealed, UniqueFd& out, UniqueFd& err) {
  TRY_ASSIGN(const UniqueFd keeper, connect_unix(settings_.run_dir + "/keeper.sock", SocketType::kSeqpacket));
  TRY_ASSIGN(Pipe environment, make_pipe());
  std::vector<int> fds{sealed, environment.write.get()};
  TRY_ASSIGN(Pipe clean_out, make_pipe());
  TRY_ASSIGN(Pipe clean_err, make_pipe());
  if (out) {
    fds.insert(fds.end(), {out.get(), err.get(), clean_out.write.get(), clean_err.write.get()});
  }
  TRY(send_message(keeper.get(), encode(Deliver{id}), fds), "keeper");
  if (out) {
    TRY(set_nonblocking(clean_out.read.get()));
    TRY(set_nonblocking(clean_err.read.get()));
    out = std::move(clean_out.read);
    err = std::move(clean_err.read);
  }
  return std::move(environment.read);
}

Result<std::vector<UniqueFd>> Starter::make_sockets(const Container& container, size_t count) {
  std::vector<UniqueFd> out;
  TRY(in_net_namespace(container.net_namespace.get(), [&]() -> Result<void> {
    for (size_t i = 0; i < count; ++i) {
      UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (!fd) return fail_errno("socket in the container's network");
      out.push_back(std::move(fd));
    }
    return {};
  }));
  return out;
}

std::vector<int> Starter::instance_descriptors(const Container& c, const std::vector<UniqueFd>& sockets) {
  if (c.kind != PlanKind::kInstance || !c.has_pipes) return {};
  std::vector<int> out{c.out.get(), c.err.get(), c.status.get(), c.cpu.get()};
  for (const UniqueFd& socket : sockets) out.push_back(socket.get());
  return out;
}

void Starter::send_started(Container& c) {
  std::vector<UniqueFd> sockets;
  if (c.transport == Transport::kTcp)
    if (auto made = make_sockets(c, 4)) sockets = std::move(*made);
  const int client = c.kind == PlanKind::kJob ? c.owner : edge();
  send(client, Started{c.request, c.id, c.slot_us, c.mount_us, us_between(c.launched_at, now())}, instance_descriptors(c, sockets));
}

// ---- what becomes of them

void Starter::on_report(const std::string& id) {
  const auto it = containers_.find(id);
  if (it == containers_.end()) return;
  Container& c = it->second;
  Report report;
  const ssize_t n = ::read(c.process.report.get(), &report, sizeof report);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n != static_cast<ssize_t>(sizeof report)) {
    poller_.remove(c.process.report.get());
    return;
  }
  switch (report.kind) {
    case Report::Kind::kRunning:
      c.running = true;
      send_started(c);
      break;
    case Report::Kind::kFailed: {
      c.failed = true;
      report.phase[sizeof report.phase - 1] = report.message[sizeof report.message - 1] = '\0';
      logger_.warn("a start failed", {{"id", id}, {"phase", report.phase}, {"error", report.message}});
      send(c.kind == PlanKind::kJob ? c.owner : edge(), StartFailed{c.request, id, report.phase, report.message, static_cast<uint8_t>(report.status)});
      break;
    }
    case Report::Kind::kEnded: c.last = report; break;
  }
}

void Starter::on_exit(const std::string& id) {
  const auto it = containers_.find(id);
  if (it == containers_.end()) return;
  Container& c = it->second;
  // What the container said last is read before it is forgotten.
  for (int i = 0; i < 3 && c.process.report; ++i) on_report(id);
  ::waitpid(c.process.pid, nullptr, WNOHANG);
  const std::string group = settings_.group_name(c.index);
  Exited exited;
  exited.id = id;
  if (c.last.kind == Report::Kind::kEnded) {
    if (WIFEXITED(c.last.status)) exited.exit_code = WEXITSTATUS(c.last.status);
    if (WIFSIGNALED(c.last.status)) exited.term_signal = WTERMSIG(c.last.status);
  } else {
    exited.term_signal = SIGKILL;  // the init itself was ended
  }
  exited.out_of_memory = cgroups_->was_out_of_memory(group);
  exited.cpu_us = cgroups_->cpu_us(group);
  exited.peak_memory_bytes = cgroups_->peak_memory_bytes(group);
  const bool tell = c.running;
  const int client = c.kind == PlanKind::kJob ? c.owner : edge();
  if (!c.running && !c.failed)
    send(client, StartFailed{c.request, id, "process", "the container ended while it was being set up", static_cast<uint8_t>(ErrorCode::kIo)});
  if (c.process.report) poller_.remove(c.process.report.get());
  poller_.remove(c.process.pidfd.get());
  tell_reaper(c.index, id);
  containers_.erase(it);
  if (tell) send(client, exited);
}

void Starter::kill_container(const Container& c) { ::syscall(SYS_pidfd_send_signal, c.process.pidfd.get(), SIGKILL, nullptr, 0); }

// ---- after a restart

void Starter::adopt() {
  for (const auto& state : read_states(settings_)) {
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, state.pid, 0)));
    // The number may belong to another process by now: the start time tells.
    if (!pidfd || !is_same_process(state)) {
      tell_reaper(state.index, state.id);
      continue;
    }
    Container c;
    c.id = state.id;
    c.label = state.label;
    c.index = state.index;
    c.transport = state.transport;
    c.running = true;
    c.process.pid = state.pid;
    c.process.pidfd = std::move(pidfd);
    if (auto net = open_at(AT_FDCWD, fmt::format("/proc/{}/ns/net", state.pid), O_RDONLY)) c.net_namespace = std::move(*net);
    const int fd = c.process.pidfd.get();
    const std::string id = c.id;
    containers_.emplace(id, std::move(c));
    (void)poller_.add(fd, [this, id] { on_exit(id); });
    logger_.info("adopted a container", {{"id", id}});
  }
}

// ---- filler and reaper

void Starter::want_slots() {
  if (!filler_) {
    auto connection = connect_unix(settings_.run_dir + "/filler.sock", SocketType::kSeqpacket);
    if (connection && set_nonblocking(connection->get())) {
      filler_ = std::move(*connection);
      (void)poller_.add(filler_.get(), [this] { read_filler(); });
    }
  }
  if (!reaper_) {
    if (auto connection = connect_unix(settings_.run_dir + "/reaper.sock", SocketType::kSeqpacket); connection && set_nonblocking(connection->get()))
      reaper_ = std::move(*connection);
  }
  const size_t wanted = std::min<size_t>(kPoolTarget + waiting_.size(), 64);
  if (filler_ && pool_.size() < wanted) (void)send_message(filler_.get(), encode_want(static_cast<uint32_t>(wanted - pool_.size())));
}

void Starter::read_filler() {
  auto received = receive_message(filler_.get());
  if (!received) {
    if (received.error().sys_errno() == EAGAIN) return;
    poller_.remove(filler_.get());
    filler_.reset();
    return;
  }
  auto slot = decode_slot(std::move(*received));
  if (!slot) {
    filler_error_ = slot.error().message();
    return;
  }
  filler_error_.clear();
  pool_.push_back(std::move(*slot));
  serve_waiting();
}

void Starter::tell_reaper(uint32_t index, const std::string& id) {
  const std::string message = encode_dead({index, id});
  if (!reaper_ || !send_message(reaper_.get(), message)) {
    reaper_.reset();
    unreaped_.push_back(message);  // bounded by kMaxContainers; reaper's own sweep would find it too
  }
}

}  // namespace skerry::sandbox
