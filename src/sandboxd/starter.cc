// starter: how containers are made. See starter.h; who asks is in starter_clients.cc, what becomes of them in starter_ends.cc.
#include "sandboxd/starter.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "os/file.h"
#include "sandboxd/namespaces.h"
#include "sandboxd/sealed.h"
#include "sandboxd/state_file.h"

namespace skerry::sandbox {
namespace {



constexpr const char* kLaunch = "launch";  // never told: the parked container is gone, not the start

// As many descriptors as this process may have; how many that is.
size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

}  // namespace

Result<void> Starter::prepare(UniqueFd listener) {
  const size_t descriptors = raise_descriptor_limit();
  max_containers_ = std::min(kMaxContainers, (std::max(descriptors, 2 * kOtherDescriptors) - kOtherDescriptors) / kDescriptorsPerContainer);
  TRY(make_directories(settings_.instances_dir(), 0711));
  if (::chmod(settings_.instances_dir().c_str(), 0711) != 0) return fail_errno("chmod instances");
  TRY_ASSIGN(cgroups_, Cgroups::probe(settings_));
  TRY(cgroups_->prepare(), "control groups");
  TRY(mounts_.prepare(), "mounts");
  TRY_ASSIGN(nothing_, open_at(AT_FDCWD, "/dev/null", O_RDWR));
  listener_ = std::move(listener);
  TRY(poller_.add(listener_.get(), [this] { accept_client(); }));
  pools_[""].target = kPoolTarget;
  adopt();
  return {};
}

void Starter::run(const volatile bool& stop) {
  while (!stop) {
    make_spares();
    want_slots();
    send_unreaped();
    if (!waiting_.empty()) serve_waiting();  // what filler did not answer is asked for again
    poller_.poll(std::min(std::chrono::milliseconds(waiting_.empty() && killed_.empty() ? 1000 : 50), spares_rest()));
    thaw_killed();
    while (!waiting_.empty() && now() - waiting_.front().since > kSlotTime) {
      const Waiting late = std::move(waiting_.front());
      waiting_.pop_front();
      const auto pool = pools_.find(late.policy);
      const std::string why = pool == pools_.end() || pool->second.error.empty() ? "no slot became free in time" : pool->second.error;
      fail_start(late, lacks_disk(late) ? kScratchPhase : "slot", Error(ErrorCode::kNoCapacity, lacks_disk(late) ? "no scratch disk was made in time" : why));
    }
  }
}

// ---- slots

void Starter::want_slots() {
  if (!filler_) {
    auto connection = connect_at_once(settings_.run_dir + "/filler.sock");
    if (!connection) return;
    filler_ = std::move(*connection);
    for (auto& [policy, pool] : pools_) pool.asked = 0;
    (void)poller_.add(filler_.get(), [this] { read_filler(); });
  }
  for (const auto& [policy, count] : wanted_slots()) {
    const auto known = pools_.find(policy);
    Pool& pool = known != pools_.end() ? known->second : pools_[std::string(policy)];
    const size_t wanted = std::min(count, kMaxPool), coming = pool.ready.size() + pool.asked;
    // Nobody's any more: edge named other policies.
    for (; !policy.empty() && pool.ready.size() > wanted; pool.ready.pop_front()) drop_slot(std::move(pool.ready.front()));
    if (coming >= wanted || now() < pool.ask_again_at) continue;
    if (send_message(filler_.get(), encode_want({static_cast<uint32_t>(wanted - coming), std::string(policy)}))) pool.asked = wanted - pool.ready.size();
  }
  std::erase_if(pools_, [this](const auto& entry) {
    const Pool& pool = entry.second;
    const bool needed = entry.first.empty() || pool.target > 0 || pool.asked > 0 || !pool.ready.empty();
    return !needed && std::none_of(waiting_.begin(), waiting_.end(), [&](const Waiting& w) { return w.policy == entry.first; });
  });
}

std::map<std::string_view, size_t> Starter::wanted_slots() const {
  std::map<std::string_view, size_t> wanted;
  for (const auto& [policy, pool] : pools_) wanted[policy] = pool.target;
  for (const Waiting& start : waiting_) ++wanted[start.policy];
  // A spare that lacks a slot has it made.
  for (const auto& [key, kind] : spare_kinds_)
    if (!kind.policy.empty() && kind.ready.size() + (kind.starting.empty() ? 0 : 1) < kind.wanted && now() >= kind.not_before)
      wanted[kind.policy] = std::max<size_t>(wanted[kind.policy], 1);
  return wanted;
}

void Starter::drop_slot(Slot slot) {
  slot.seat.reset();
  tell_reaper(slot.index, {});
}

Result<void> Starter::keep_policies(const Client& client, const std::vector<UniqueFd>& fds) {
  if (fds.size() != 1) return fail(ErrorCode::kProtocol, "a list of policies with {} descriptors", fds.size());
  TRY_ASSIGN(const std::string bytes, read_sealed(fds[0].get(), kMaxPolicyList), "list of policies");
  TRY_ASSIGN(const auto policies, decode_policies(bytes));
  TRY(check_policies(client.role));
  for (auto& [policy, pool] : pools_) pool.target = policy.empty() ? kPoolTarget : 0;
  size_t kept = 0;
  for (const EgressPolicy& policy : policies) {
    const size_t target = std::min(kPolicyTarget, kMaxPolicySlots - kept);
    if (target == 0) break;
    Pool& pool = pools_[policy.encode()];
    kept += target - pool.target;  // named twice, it counts once
    pool.target = target;
  }
  return {};
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
  if (!slot) return logger_.error("filler gave what is no slot", {{"error", slot.error().message()}});
  if (auto* none = std::get_if<NoSlot>(&*slot)) {
    Pool& pool = pools_[none->policy];
    pool.error = std::move(none->error);
    pool.asked = 0;
    pool.ask_again_at = now() + kAskAgainAfter;
    return;
  }
  auto& made = std::get<Slot>(*slot);
  Pool& pool = pools_[made.policy];
  pool.error.clear();
  pool.asked -= std::min<size_t>(pool.asked, 1);
  pool.ready.push_back(std::move(made));
  serve_waiting();
}

void Starter::serve_waiting() {
  give_disks();
  for (;;) {
    std::optional<Slot> slot;
    const auto first = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& w) { return !lacks_disk(w) && (slot = take_slot(w.policy)); });
    if (first == waiting_.end()) return;
    Waiting next = std::move(*first);
    waiting_.erase(first);
    make_container(std::move(next), std::move(*slot));
  }
}

// ---- scratch disks

void Starter::give_disks() {
  std::map<uint64_t, size_t> lacking;
  for (Waiting& start : waiting_) {
    const uint64_t bytes = start.plan.limits.scratch_bytes;
    if (lacks_disk(start) && !(start.disk = scratch_.take(bytes))) ++lacking[bytes];
  }
  for (const auto& [bytes, count] : lacking) scratch_.want(bytes, count);
}

void Starter::on_scratch(uint64_t bytes, const Result<void>& made) {
  if (made) return serve_waiting();
  const auto waits = [&](const Waiting& w) { return lacks_disk(w) && w.plan.limits.scratch_bytes == bytes; };
  if (std::none_of(waiting_.begin(), waiting_.end(), waits)) return;
  if (scratch_.drop_ready()) return give_disks();  // disks of other sizes that nobody waits for
  for (auto next = waiting_.begin(); (next = std::find_if(waiting_.begin(), waiting_.end(), waits)) != waiting_.end();) {
    const Waiting refused = std::move(*next);
    waiting_.erase(next);
    fail_start(refused, kScratchPhase, made.error());
  }
}

// The next whose parked container lives: one that was killed while it waited costs nobody a start.
std::optional<Slot> Starter::take_slot(const std::string& policy) {
  const auto pool = pools_.find(policy);
  while (pool != pools_.end() && !pool->second.ready.empty()) {
    Slot slot = std::move(pool->second.ready.front());
    pool->second.ready.pop_front();
    pollfd ended{slot.process.get(), POLLIN, 0};
    if (::poll(&ended, 1, 0) == 0) return slot;
    logger_.warn("a parked container ended", {{"slot", slot.index}});
    tell_reaper(slot.index, {});
  }
  return std::nullopt;
}

Result<UniqueFd> Starter::connect_at_once(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(ErrorCode::kInvalidArgument, "socket path `{}` is too long", path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return fail_errno("connect `{}`", path);
  return fd;
}

// ---- a start

void Starter::fail_start(const Waiting& start, std::string_view phase, const Error& error) {
  logger_.warn("a start failed", {{"id", start.plan.id}, {"phase", phase}, {"error", error.message()}});
  send(start.client, StartFailed{start.request, start.plan.id, std::string(phase), error.message(), static_cast<uint8_t>(error.code())});
}

void Starter::make_container(Waiting start, Slot slot) {
  const uint32_t index = slot.index;
  Container container;
  container.id = start.plan.id;
  container.label = start.plan.label;
  container.kind = start.plan.kind;
  container.transport = start.plan.transport;
  container.request = start.request;
  container.client = start.client;
  container.index = index;
  container.address = address_of(slot, settings_);
  container.slot_us = us_between(start.since, now());
  const char* phase = "slot";
  if (auto made = make_container_in(std::move(slot), start, container, phase); !made) {
    mounts_.let_go();
    if (phase == kLaunch) {
      // It was killed after take_slot() looked: another one starts it.
      remove_files(start.plan.id);
      waiting_.push_front(std::move(start));
      return tell_reaper(index, {});
    }
    fail_start(start, phase, made.error());
    return tell_reaper(index, start.plan.id);
  }
  mounts_.let_go();
  if (start.ended < kMaxEnded) container.retry = std::move(start);
  const std::string id = container.id;
  watch(containers_.emplace(id, std::move(container)).first->second);
}

Result<void> Starter::make_container_in(Slot slot, Waiting& start, Container& container, const char*& phase) {
  const StartPlan& plan = start.plan;
  const TimePoint begin = now();
  phase = "cgroup";
  const std::string group = settings_.group_name(slot.index);
  TRY(cgroups_->set_limits(group, plan.limits));
  TRY_ASSIGN(container.memory, cgroups_->watch_memory(group));
  TRY_ASSIGN(container.cpu, cgroups_->open_cpu_counter(group));
  phase = "process";
  std::vector<UniqueFd> program_ends;  // closed here when the container has its copies
  TRY_ASSIGN(ProgramFds program, make_program_descriptors(start, container, program_ends));
  Pipe secrets;
  if (plan.has_secrets) {
    phase = "secrets";  // keeper opens them while the root is made
    TRY_ASSIGN(secrets, make_pipe());
    TRY(deliver_secrets(container, start.fds[1].get(), secrets.write.get()));
    secrets.write.reset();
    program.secrets = secrets.read.get();
  }
  if (plan.spare) {
    TRY_ASSIGN(Pipe assignment, make_pipe());
    program.assignment = assignment.read.get();
    program_ends.push_back(std::move(assignment.read));
    container.assignment = std::move(assignment.write);
  }
  phase = "mount";
  TRY_ASSIGN(Mounts::Root root, mounts_.build_root(plan, slot, std::move(start.disk)));
  container.mount_us = us_between(begin, now());
  container.launched_at = now();
  phase = "process";
  phase = kLaunch;
  TRY_ASSIGN(container.process, launch(slot, plan, start.fds[0].get(), root.mount.get(), program));
  if (plan.transport == Transport::kTcp) container.net_namespace = std::move(slot.net_namespace);
  if (plan.spare) {
    container.slot = std::move(slot);
    container.top = std::move(root.top);
    return {};
  }
  if (plan.kind == PlanKind::kInstance) {
    // It runs; without its file it would only be ended by the next starter.
    if (auto written = write_state({plan.id, slot.index, container.process.pid, plan.transport, plan.label}, settings_); !written)
      logger_.error("an instance will not outlive starter", {{"id", plan.id}, {"error", written.error().message()}});
  }
  return {};
}

Result<ProgramFds> Starter::make_program_descriptors(const Waiting& start, Container& container, std::vector<UniqueFd>& program_ends) {
  const StartPlan& plan = start.plan;
  ProgramFds program;
  if (plan.kind == PlanKind::kJob) {
    const size_t first = plan.has_secrets ? 2 : 1;
    program.in = start.fds[first].get();
    program.out = start.fds[first + 1].get();
    program.err = start.fds[first + 2].get();
    return program;
  }
  const auto pipe_to = [&](UniqueFd& read_end) -> Result<int> {
    TRY_ASSIGN(Pipe pipe, make_pipe());
    TRY(set_nonblocking(pipe.read.get()));
    read_end = std::move(pipe.read);
    program_ends.push_back(std::move(pipe.write));
    return program_ends.back().get();
  };
  program.in = nothing_.get();
  TRY_ASSIGN(program.out, pipe_to(container.out));
  TRY_ASSIGN(program.err, pipe_to(container.err));
  TRY_ASSIGN(const int status, pipe_to(container.status));
  container.has_pipes = true;
  if (plan.transport == Transport::kUnix) {
    TRY_ASSIGN(UniqueFd listener, listen_unix(socket_path(plan.id), SocketType::kStream,
                                              {settings_.edge_uid, settings_.edge_gid, 0600}));
    // Shims expect an ordinary blocking descriptor.
    ::fcntl(listener.get(), F_SETFL, ::fcntl(listener.get(), F_GETFL) & ~O_NONBLOCK);
    program.listener = listener.get();
    program.status = status;
    program_ends.push_back(std::move(listener));
  }
  return program;
}

// keeper gets the program's pipes and gives edge new ones, with every secret's value taken out.
Result<void> Starter::deliver_secrets(Container& c, int sealed, int environment) {
  TRY_ASSIGN(const UniqueFd keeper, connect_at_once(settings_.run_dir + "/keeper.sock"));
  std::vector<int> fds{sealed, environment};
  Pipe clean_out, clean_err;
  if (c.out) {
    TRY_ASSIGN(clean_out, make_pipe());
    TRY_ASSIGN(clean_err, make_pipe());
    TRY(set_nonblocking(clean_out.read.get()));
    TRY(set_nonblocking(clean_err.read.get()));
    fds.insert(fds.end(), {c.out.get(), c.err.get(), clean_out.write.get(), clean_err.write.get()});
  }
  TRY(send_message(keeper.get(), encode(Deliver{c.id}), fds), "keeper");
  if (c.out) {
    c.program_out = std::exchange(c.out, std::move(clean_out.read));
    c.program_err = std::exchange(c.err, std::move(clean_err.read));
  }
  return {};
}

Result<std::vector<UniqueFd>> Starter::make_sockets(const Container& container, size_t count) {
  std::vector<UniqueFd> out;
  TRY(in_net_namespace(container.net_namespace.get(), [&]() -> Result<void> {
    for (size_t i = 0; i < count; ++i) {
      // Reaches 127.0.0.1 and ::1; a machine without IPv6 has only the first.
      UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (!fd && errno == EAFNOSUPPORT) fd.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (!fd) return fail_errno("socket in the container's network");
      out.push_back(std::move(fd));
    }
    return {};
  }));
  return out;
}

std::vector<int> Starter::instance_descriptors(const Container& c, std::vector<UniqueFd>& made) {
  if (c.kind != PlanKind::kInstance || !c.has_pipes) return {};
  auto freezer = cgroups_->open_freezer(settings_.group_name(c.index));
  if (!freezer) {
    logger_.error("an instance is of no use", {{"id", c.id}, {"error", freezer.error().message()}});
    return {};  // edge ends what comes without them
  }
  made.push_back(std::move(*freezer));
  if (c.transport == Transport::kTcp)
    if (auto sockets = make_sockets(c, kSocketsWithStart)) made.insert(made.end(), std::make_move_iterator(sockets->begin()), std::make_move_iterator(sockets->end()));
  std::vector<int> out{c.out.get(), c.err.get(), c.status.get(), c.cpu.get()};
  for (const UniqueFd& fd : made) out.push_back(fd.get());
  return out;
}

void Starter::send_started(Container& c) {
  std::vector<UniqueFd> made;
  const std::vector<int> fds = instance_descriptors(c, made);
  send(recipient(c), Started{c.request, c.id, c.slot_us, c.mount_us, us_between(c.launched_at, now()), c.prestarted, c.address}, fds);
}

}  // namespace skerry::sandbox
