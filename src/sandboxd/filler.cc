#include "sandboxd/filler.h"

#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <sstream>

#include "os/file.h"
#include "sandboxd/features.h"
#include "sandboxd/firewall.h"
#include "sandboxd/namespaces.h"
#include "sandboxd/netlink.h"
#include "sandboxd/parked.h"
#include "sandboxd/seccomp_policy.h"

namespace skerry::sandbox {
namespace {

// The MTU of the interface that the default route leaves by: a larger one inside would lose packets on the way.
uint32_t uplink_mtu() {
  const auto routes = read_file("/proc/net/route", 1 << 20);
  std::istringstream lines(routes ? *routes : "");
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string name, destination;
    if (!(fields >> name >> destination) || destination != "00000000") continue;
    const auto mtu = read_file("/sys/class/net/" + name + "/mtu", 64);
    uint32_t value = 0;
    if (mtu) std::from_chars(mtu->data(), mtu->data() + mtu->size(), value);
    if (value >= 576) return value;
  }
  return 1500;
}

}  // namespace

// Before anything is made of them; the kernel does not change until the machine starts anew.
Result<void> Filler::probe() {
  if (auto favored = favor_moves(settings_); !favored) logger_.warn("favordynmods is not to be had", {{"error", favored.error().message()}});
  const auto features = probe_features(settings_);
  for (const Feature& f : features)
    if (!f.lacking.empty() && !f.is_missing()) logger_.warn("a feature of the kernel is replaced", {{"feature", f.name}, {"error", f.lacking}, {"by", f.replaced_by}});
  const auto keep = [&]() -> Result<void> {
    TRY_ASSIGN(const UniqueFd run, open_at(AT_FDCWD, settings_.run_dir, O_RDONLY | O_DIRECTORY));
    return write_file_atomic(run.get(), std::string(kFeaturesFile), features_text(features), 0644);
  };
  // For people only: a disk that is full stops nobody.
  if (auto kept = keep(); !kept) logger_.warn("`skerry doctor` will not know the kernel's features", {{"error", kept.error().message()}});
  return require_features(features);
}

Result<void> Filler::prepare(UniqueFd listener) {
  TRY(probe());
  TRY_ASSIGN(cgroups_, Cgroups::probe(settings_));
  TRY(cgroups_->prepare(), "control groups");
  TRY(write_text("/proc/sys/net/ipv4/ip_forward", "1"), "forwarding");
  TRY_ASSIGN(const HeldSlots held, policies_.restore(), "egress policies");
  TRY(load_firewall(settings_, held), "firewall");
  TRY_ASSIGN(filter_, compile_seccomp_policy());
  TRY(make_directories(settings_.work_dir(), 0700));
  mtu_ = uplink_mtu();
  TRY_ASSIGN(unpack_program_, open_at(AT_FDCWD, settings_.program_dir + "/skerry-unpack", O_PATH));
  TRY(make_directories(settings_.layers_dir(), 0700));
  TRY(remove_unfinished_layers());
  listener_ = std::move(listener);
  return poller_.add(listener_.get(), [this] { accept_client(); });
}

void Filler::run(const volatile bool& stop) {
  while (!stop) {
    const bool work = std::any_of(clients_.begin(), clients_.end(), [](const auto& c) { return !c.second.wanted.empty(); });
    poller_.poll(std::chrono::milliseconds(work ? 0 : 1000));
    make_one_slot();
    end_late_unpack();
    reap_children();
    if (clock_.now() - scratch_seen_at_ > kLookAtScratchEvery) {
      scratch_.let_go();
      scratch_seen_at_ = clock_.now();
    }
    if (clock_.now() - policies_swept_at_ > kSweepPoliciesEvery) {
      policies_.sweep();
      policies_swept_at_ = clock_.now();
    }
  }
}

// ---- clients

void Filler::accept_client() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const auto peer = fd ? peer_credentials(fd.get()) : fail(ErrorCode::kUnavailable, "gone");
  if (!peer) return;
  // SECURITY: slots carry namespaces and control groups: root only. Layers: control only.
  if (peer->uid != 0 && peer->uid != settings_.control_uid) {
    logger_.warn("refused a connection", {{"uid", peer->uid}, {"pid", peer->pid}});
    return;
  }
  if (clients_.size() >= kMaxClients) {
    logger_.warn("refused a connection: too many", {{"uid", peer->uid}, {"limit", kMaxClients}});
    return;
  }
  const int number = fd.get();
  if (!poller_.add(number, [this, number] { read_client(number); })) return;
  clients_.emplace(number, Client{std::move(fd), peer->uid == 0, {}, {}});
}

void Filler::drop_client(int fd) {
  poller_.remove(fd);
  clients_.erase(fd);
  std::erase_if(layer_queue_, [&](const Job& job) { return job.client == fd; });
  if (unpacking_ && unpacking_->job.client == fd) unpacking_->job.client = -1;  // goes on: the layer may be asked for again
}

void Filler::read_client(int fd) {
  auto received = receive_message(fd);
  if (!received) {
    if (received.error().sys_errno() != EAGAIN) drop_client(fd);
    return;
  }
  Client& client = clients_.at(fd);
  if (client.root && is_want(received->bytes)) {
    if (auto want = decode_want(received->bytes)) on_want(client, std::move(*want));
    return;
  }
  // A request for a scratch disk is eight bytes, a layer request never that short.
  if (client.root && received->bytes.size() == sizeof(uint64_t)) {
    if (const auto bytes = decode_want_scratch(received->bytes)) make_scratch(fd, *bytes);
    return;
  }
  auto request = decode_layer_request(received->bytes);
  if (!request) return answer(fd, {false, false, static_cast<uint8_t>(ErrorCode::kProtocol), request.error().message(), 0, 0});
  on_layer_request(fd, std::move(*request), std::move(received->fds));
}

// ---- slots

void Filler::on_want(Client& client, Want want) {
  if (want.count == 0) return;
  if (!client.wanted.contains(want.policy) && client.wanted.size() > Policies::kMaxPolicies) {
    (void)send_message(client.fd.get(), encode_slot_error("slots of too many egress policies are asked for", want.policy));
    return;
  }
  uint32_t& wanted = client.wanted[want.policy];
  wanted = std::min<uint32_t>(wanted + std::min(want.count, kMaxWanted), kMaxWanted);
}

void Filler::make_one_slot() {
  for (auto& [fd, client] : clients_) {
    if (client.wanted.empty()) continue;
    auto next = client.wanted.upper_bound(client.served);
    if (next == client.wanted.end()) next = client.wanted.begin();
    client.served = next->first;
    auto slot = make_slot(client.served);
    if (!slot) {
      logger_.error("a slot cannot be made", {{"error", slot.error().message()}});
      client.wanted.erase(next);  // starter asks again
      (void)send_message(fd, encode_slot_error(slot.error().message(), client.served));
      return;
    }
    const int fds[] = {slot->process.get(), slot->seat.get(), slot->layer_mapping.get(), slot->net_namespace.get()};
    // A client that does not read, or is gone, gets no more of them.
    if (send_message(fd, encode_slot(*slot), fds)) {
      if (--next->second == 0) client.wanted.erase(next);
    } else {
      end_slot(*slot);
      client.wanted.clear();
      ::shutdown(fd, SHUT_RDWR);  // it connects again and asks anew
    }
    return;
  }
}

void Filler::make_scratch(int client, uint64_t bytes) {
  const auto mount = scratch_.make(bytes);
  const int fds[] = {mount ? mount->get() : -1};
  // The disk goes with the descriptor when nobody takes it. Answers come in order: after one that was not taken there are none.
  const auto sent = mount ? send_message(client, kScratchMade, fds) : send_message(client, mount.error().message());
  if (!sent) ::shutdown(client, SHUT_RDWR);
}

// An index is free when neither an interface nor a control group has its number. The groups of slots that died with their starter are swept
// by reaper; their interfaces went with their namespaces.
Result<uint32_t> Filler::free_index() {
  for (uint32_t tried = 0; tried < kMaxSlotIndex; ++tried) {
    next_index_ = next_index_ % kMaxSlotIndex + 1;
    if (::if_nametoindex(settings_.interface_name(next_index_).c_str()) == 0 && !cgroups_->exists(settings_.group_name(next_index_))) return next_index_;
  }
  return fail(ErrorCode::kNoCapacity, "all {} slots are in use", kMaxSlotIndex);
}

// An address that a route leads elsewhere already (what a namespace that is being removed leaves for a moment, or another program's) is not free.
Result<Slot> Filler::make_slot(const std::string& policy) {
  for (int tried = 1;; ++tried) {
    TRY_ASSIGN(const uint32_t index, free_index());
    auto slot = make_slot_at(index, policy);
    if (slot || slot.error().sys_errno() != EEXIST || tried == kMaxTakenIndexes) return slot;
  }
}

Result<Slot> Filler::make_slot_at(uint32_t index, const std::string& policy) {
  Slot slot;
  slot.index = index;
  slot.policy = policy;
  const uint32_t base = slot_id_base(slot.index);
  TRY_ASSIGN(const UniqueFd user_namespace, make_user_namespace(0, base, kIdsPerRange));
  TRY_ASSIGN(slot.layer_mapping, make_user_namespace(kLayerIdBase, base, kIdsPerRange));
  TRY_ASSIGN(slot.net_namespace, make_net_namespace());
  // The policy before the address that it is for.
  std::string alias;
  if (policy.empty()) {
    policies_.leave(index);
  } else {
    TRY_ASSIGN(alias, policies_.admit(index, policy));
  }
  TRY(make_network(slot, alias));
  const std::string group = settings_.group_name(slot.index);
  TRY(cgroups_->create(group));
  const auto park_it = [&]() -> Result<Parked> {
    TRY_ASSIGN(const auto tasks, cgroups_->open_tasks(group));
    ParkedParts parts{user_namespace.get(), slot.net_namespace.get(), {}, settings_.work_dir(), filter_};
    for (const UniqueFd& fd : tasks) parts.tasks.push_back(fd.get());
    return park(parts);
  };
  auto parked = park_it();
  if (!parked) {
    end_slot(slot);
    return pass(std::move(parked).error());
  }
  slot.pid = parked->pid;
  slot.process = std::move(parked->process);
  slot.seat = std::move(parked->seat);
  return slot;
}

// The group cannot be removed before the last process has left it.
void Filler::end_slot(Slot& slot) {
  slot.seat.reset();
  if (slot.process) {
    ::syscall(SYS_pidfd_send_signal, slot.process.get(), SIGKILL, nullptr, 0);
    pollfd ended{slot.process.get(), POLLIN, 0};
    (void)::poll(&ended, 1, kEndTimeMs);
  }
  const std::string group = settings_.group_name(slot.index);
  if (auto removed = cgroups_->remove(group); !removed) logger_.warn("reaper will remove a slot's group", {{"group", group}, {"error", removed.error().message()}});
}

// The first processes of containers are this process's children; who watches them is starter.
void Filler::reap_children() {
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    if (unpacking_ && info.si_pid == unpacking_->pid) return;  // finish_unpack() wants its status
    ::waitpid(info.si_pid, nullptr, WNOHANG);
  }
}

Result<void> Filler::make_network(const Slot& slot, const std::string& alias) {
  const std::string name = settings_.interface_name(slot.index);
  const uint32_t address = address_of(slot, settings_);
  TRY_ASSIGN(Netlink host, Netlink::open());
  TRY(host.add_veth(name, "eth0", slot.net_namespace.get(), mtu_));
  if (!alias.empty()) TRY(host.set_alias(name, alias));
  // The same gateway address on every host end: each container has a link of its own, so nothing is ambiguous.
  TRY(host.add_address(name, settings_.gateway()));
  TRY(host.set_up(name));
  TRY(host.add_route(name, address, 32, 0));
  // SECURITY: a packet with another source address than the slot's own is dropped on arrival.
  TRY(write_text("/proc/sys/net/ipv4/conf/" + name + "/rp_filter", "1"));
  // SECURITY: CVE-2020-10749, what a container says by IPv6 (that it is a router, or another's address) is heard by nobody.
  (void)write_text("/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6", "1");
  return in_net_namespace(slot.net_namespace.get(), [&]() -> Result<void> {
    // IPv6 stays closed until it is filtered as strictly as IPv4.
    TRY(write_text("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1"));
    TRY_ASSIGN(Netlink inside, Netlink::open());
    TRY(inside.set_up("lo"));
    TRY(inside.add_address("eth0", address));
    TRY(inside.set_up("eth0"));
    TRY(inside.add_route("eth0", settings_.gateway(), 32, 0));
    return inside.add_route("eth0", 0, 0, settings_.gateway());
  });
}

}  // namespace skerry::sandbox
