// starter's clients: edge, control, and root. See starter.h.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "os/file.h"
#include "sandboxd/sealed.h"
#include "sandboxd/starter.h"

namespace skerry::sandbox {
namespace {

// SECURITY: CVE-2024-21626, a folder of the host as a tenant's descriptor; nor an O_PATH handle or a disk.
Result<void> check_job_descriptor(int fd) {
  struct stat st {};
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fstat(fd, &st) != 0) return fail_errno("a job's descriptor");
  const bool stream = S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || S_ISREG(st.st_mode) || S_ISCHR(st.st_mode);
  if (!stream || (flags & O_PATH) != 0) return fail(ErrorCode::kForbidden, "a job's descriptors must be pipes, sockets or files");
  return {};
}

}  // namespace

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
  if (clients_.size() >= kMaxClients) {
    logger_.warn("refused a connection: too many", {{"uid", peer->uid}, {"limit", kMaxClients}});
    return;
  }
  const int number = fd.get();
  if (!poller_.add(number, [this, number] { read_client(number); })) return;
  clients_.emplace(number, Client{std::move(fd), role, {}, {}});
}

void Starter::drop_client(int fd) {
  poller_.remove(fd);
  clients_.erase(fd);
  std::erase_if(waiting_, [&](const Waiting& w) { return w.client == fd; });
  // A job belongs to who asked for it; an instance outlives edge.
  for (auto& [id, container] : containers_) {
    if (container.client != fd) continue;
    container.client = -1;
    container.retry.reset();  // its number may be another client's soon
    if (container.kind == PlanKind::kJob) kill_container(container);
  }
}

void Starter::read_client(int fd) {
  auto received = receive_message(fd);
  if (!received) {
    const Error& error = received.error();
    if (error.sys_errno() == EAGAIN) return;
    // Too long or with too many descriptors, but whole: the next message may be a good one.
    if (error.code() == ErrorCode::kProtocol) return send(fd, Refused{0, error.message()});
    return drop_client(fd);
  }
  auto message = decode_client(received->bytes);
  if (!message) return send(fd, Refused{0, message.error().message()});
  handle(clients_.at(fd), std::move(*message), std::move(received->fds));
}

// ---- what is sent

void Starter::send(int client, const StarterMessage& message, std::span<const int> fds) {
  const auto found = clients_.find(client);
  if (found == clients_.end()) return;
  Client& c = found->second;
  std::string bytes = encode(message);
  if (c.queue.empty()) {
    const auto sent = send_message(client, bytes, fds);
    if (sent) return;
    if (sent.error().sys_errno() != EAGAIN) return give_up_on(client, sent.error());
  }
  if (c.queue.size() >= kMaxQueued) return give_up_on(client, Error(ErrorCode::kTooMany, fmt::format("{} messages wait", kMaxQueued)));
  Outgoing out{std::move(bytes), {}};
  for (const int fd : fds) {
    // The container may end before its turn comes.
    UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!copy) return give_up_on(client, Error::from_errno(errno, "keep a descriptor for later"));
    out.fds.push_back(std::move(copy));
  }
  c.queue.push_back(std::move(out));
  if (auto watched = poller_.when_writable(client, [this, client] { pump(client); }); !watched) give_up_on(client, watched.error());
}

// It connects again and lists; its jobs end.
void Starter::give_up_on(int client, const Error& error) {
  logger_.warn("a client does not take its messages", {{"error", error.message()}});
  ::shutdown(client, SHUT_RDWR);
}

void Starter::pump(int client) {
  Client& c = clients_.at(client);
  while (!c.queue.empty()) {
    const Outgoing& next = c.queue.front();
    std::vector<int> fds;
    for (const UniqueFd& fd : next.fds) fds.push_back(fd.get());
    if (auto sent = send_message(client, next.bytes, fds); !sent) {
      if (sent.error().sys_errno() != EAGAIN) give_up_on(client, sent.error());
      return;
    }
    c.queue.pop_front();
  }
  while (!c.listings.empty())
    if (!pump_listing(c)) return;
  (void)poller_.when_writable(client, {});
}

// True when the first listing is complete; false when the client takes no more for now.
bool Starter::pump_listing(Client& client) {
  Listing& listing = client.listings.front();
  const auto sent = [&](const StarterMessage& message, std::span<const int> fds) {
    const auto result = send_message(client.fd.get(), encode(message), fds);
    if (!result && result.error().sys_errno() != EAGAIN) give_up_on(client.fd.get(), result.error());
    return result.has_value();
  };
  for (; !listing.ids.empty(); listing.ids.pop_front()) {
    const auto found = containers_.find(listing.ids.front());
    if (found == containers_.end()) continue;  // ended meanwhile
    const Container& c = found->second;
    std::vector<UniqueFd> made;
    if (!sent(Listed{listing.request, c.id, c.label, c.address}, instance_descriptors(c, made))) return false;
  }
  if (!sent(Done{listing.request}, {})) return false;
  client.listings.pop_front();
  return true;
}

void Starter::list(Client& client, uint64_t request) {
  const int fd = client.fd.get();
  if (client.listings.size() >= kMaxListings) return send(fd, Refused{request, "too many lists at once"});
  Listing listing{request, {}};
  for (const auto& [id, c] : containers_)
    if (c.kind == PlanKind::kInstance && c.running && client.role != Role::kControl) listing.ids.push_back(id);
  client.listings.push_back(std::move(listing));
  if (auto watched = poller_.when_writable(fd, [this, fd] { pump(fd); }); !watched) give_up_on(fd, watched.error());
}

int Starter::recipient(const Container& container) const {
  return container.client >= 0 || container.kind == PlanKind::kJob ? container.client : edge();
}

int Starter::edge() const {
  for (const auto& [fd, client] : clients_)
    if (client.role == Role::kEdge) return fd;
  for (const auto& [fd, client] : clients_)
    if (client.role == Role::kRoot) return fd;
  return -1;
}

// ---- what is asked

void Starter::handle(Client& client, ClientMessage message, std::vector<UniqueFd> fds) {
  const int fd = client.fd.get();
  if (const auto* start = std::get_if<Start>(&message)) return on_start(client, *start, std::move(fds));
  if (const auto* query = std::get_if<List>(&message)) return list(client, query->request);
  if (const auto* order = std::get_if<KeepSpares>(&message)) {
    const auto kept = keep_spares(client, fds);
    return kept ? send(fd, Done{order->request}) : send(fd, Refused{order->request, kept.error().message()});
  }
  if (const auto* order = std::get_if<KeepPolicies>(&message)) {
    const auto kept = keep_policies(client, fds);
    return kept ? send(fd, Done{order->request}) : send(fd, Refused{order->request, kept.error().message()});
  }
  const auto find = [&](const std::string& id) -> Container* {
    const auto it = containers_.find(id);
    if (it == containers_.end()) return nullptr;
    if (!it->second.spare_kind.empty()) return nullptr;
    const bool allowed = client.role == Role::kRoot || (it->second.kind == PlanKind::kInstance) == (client.role == Role::kEdge);
    return allowed ? &it->second : nullptr;
  };
  if (const auto* signal = std::get_if<Signal>(&message)) {
    Container* c = find(signal->id);
    if (c == nullptr) return;
    c->retry.reset();
    if (signal->kind == SignalKind::kKill) return kill_container(*c);
    // A frozen process takes no signal until it is thawed.
    (void)cgroups_->set_frozen(settings_.group_name(c->index), false);
    ::syscall(SYS_pidfd_send_signal, c->process.pidfd.get(), SIGTERM, nullptr, 0);
  } else if (const auto* freeze = std::get_if<SetFrozen>(&message)) {
    const Container* c = find(freeze->id);
    auto done = c != nullptr ? cgroups_->set_frozen(settings_.group_name(c->index), freeze->frozen) : fail(ErrorCode::kNotFound, "no such container");
    if (done) send(fd, Done{freeze->request});
    else send(fd, Refused{freeze->request, done.error().message()});
  } else if (const auto* more = std::get_if<MoreSockets>(&message)) {
    const Container* c = find(more->id);
    if (c == nullptr || !c->net_namespace || more->count == 0 || more->count > kMaxMoreSockets)
      return send(fd, Refused{more->request, "no such container with a network, or not 1 to 8 sockets"});
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

Result<StartPlan> Starter::read_plan(const Client& client, const std::vector<UniqueFd>& fds) {
  if (fds.empty()) return fail(ErrorCode::kProtocol, "a start without a plan");
  TRY_ASSIGN(const std::string bytes, read_sealed(fds[0].get(), kMaxPlanBytes), "plan");
  TRY_ASSIGN(StartPlan plan, StartPlan::decode(bytes));
  const bool job = plan.kind == PlanKind::kJob;
  TRY(check_plan(client.role, plan, settings_));
  const size_t job_fds = 1 + (plan.has_secrets ? 1 : 0), expected = job_fds + (job ? 3 : 0);
  if (fds.size() != expected) return fail(ErrorCode::kProtocol, "a start with {} descriptors, expected {}", fds.size(), expected);
  if (plan.has_secrets) TRY(check_sealed(fds[1].get()), "secrets");
  for (size_t i = job_fds; i < expected; ++i) TRY(check_job_descriptor(fds[i].get()));
  const auto same = [&](const Waiting& w) { return w.plan.id == plan.id; };
  if (containers_.contains(plan.id) || std::any_of(waiting_.begin(), waiting_.end(), same)) return fail(ErrorCode::kConflict, "container {} exists", plan.id);
  if (containers_.size() + waiting_.size() >= max_containers_ || waiting_.size() >= kMaxWaiting) return fail(ErrorCode::kNoCapacity, "too many containers");
  return plan;
}

void Starter::on_start(Client& client, const Start& start, std::vector<UniqueFd> fds) {
  auto plan = read_plan(client, fds);
  if (!plan) return send(client.fd.get(), Refused{start.request, plan.error().message()});
  Waiting entry{client.fd.get(), start.request, std::move(*plan), std::move(fds), now()};
  entry.policy = entry.plan.egress.encode();
  if (start_from_spare(entry)) return;
  waiting_.push_back(std::move(entry));
  serve_waiting();
}

}  // namespace skerry::sandbox
