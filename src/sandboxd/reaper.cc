#include "sandboxd/reaper.h"

#include <dirent.h>
#include <net/if.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

#include "sandboxd/firewall.h"
#include "sandboxd/netlink.h"
#include "sandboxd/slot.h"
#include "sandboxd/state_file.h"

namespace skerry::sandbox {
namespace {
constexpr auto kSweepEvery = std::chrono::seconds(60);
constexpr auto kRetryEvery = std::chrono::milliseconds(20);
}  // namespace

Result<void> Reaper::prepare(UniqueFd listener) {
  TRY_ASSIGN(cgroups_, Cgroups::probe(settings_));
  TRY(cgroups_->prepare(), "control groups");
  listener_ = std::move(listener);
  return poller_.add(listener_.get(), [this] { accept_client(); });
}

void Reaper::accept_client() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const auto peer = fd ? peer_credentials(fd.get()) : fail(ErrorCode::kUnavailable, "gone");
  if (!peer || peer->uid != 0) return;
  const int number = fd.get();
  const auto ready = [this, number] {
    auto received = receive_message(number);
    if (!received) {
      if (received.error().sys_errno() == EAGAIN) return;
      poller_.remove(number);
      clients_.erase(number);
      return;
    }
    if (auto dead = decode_dead(received->bytes)) {
      if (!dead->id.empty()) remove_files(dead->id);
      if (dead->index != 0) groups_.insert(settings_.group_name(dead->index));
    }
  };
  if (poller_.add(number, ready)) clients_.emplace(number, std::move(fd));
}

void Reaper::run(const volatile bool& stop) {
  auto next_sweep = std::chrono::steady_clock::now();
  while (!stop) {
    poller_.poll(groups_.empty() ? std::chrono::milliseconds(1000) : std::chrono::duration_cast<std::chrono::milliseconds>(kRetryEvery));
    std::erase_if(groups_, [this](const std::string& group) { return remove_group(group); });
    if (std::chrono::steady_clock::now() >= next_sweep) {
      sweep_orphans();
      next_sweep = std::chrono::steady_clock::now() + kSweepEvery;
    }
  }
}

void Reaper::remove_files(const std::string& id) {
  for (const char* suffix : {".sock", ".state"}) ::unlink((settings_.instances_dir() + "/" + id + suffix).c_str());
}

bool Reaper::remove_group(const std::string& group) {
  cgroups_->kill_all(group);
  const auto removed = cgroups_->remove(group);
  return removed.has_value() || removed.error().sys_errno() == ENOENT;
}

// Groups without a process: slots of a starter that is gone. A slot that waits in a pool has none either, so only what was empty at two
// sweeps and has no interface any more (it went with the slot's namespace) is removed.
void Reaper::sweep_orphans() {
  std::set<std::string> empty;
  for (const std::string& group : cgroups_->list()) {
    const uint32_t index = settings_.group_index(group);
    if (index == 0 || !cgroups_->processes(group).empty()) continue;
    if (::if_nametoindex(settings_.interface_name(index).c_str()) == 0) empty.insert(group);
  }
  for (const std::string& group : empty) {
    if (!suspected_.contains(group)) continue;
    logger_.info("removing a control group that nobody owns", {{"group", group}});
    groups_.insert(group);
  }
  suspected_ = std::move(empty);
}

Result<void> Reaper::sweep_everything() {
  TRY_ASSIGN(cgroups_, Cgroups::probe(settings_));
  size_t containers = 0, groups = 0, interfaces = 0;
  for (const auto& state : read_states(settings_)) {
    if (is_same_process(state)) {
      ::kill(state.pid, SIGKILL);
      ++containers;
    }
    remove_files(state.id);
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (const std::string& group : cgroups_->list()) {
    while (!remove_group(group)) {
      if (std::chrono::steady_clock::now() > end) return fail(ErrorCode::kTimeout, "processes in control group {} do not end", group);
      ::usleep(5000);
    }
    ++groups;
  }
  TRY(cgroups_->remove_parent());
  // Interfaces go with their namespaces, a moment after the last process; those that are left are removed by name.
  TRY_ASSIGN(Netlink netlink, Netlink::open());
  const std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> names(::if_nameindex(), ::if_freenameindex);
  for (const auto* entry = names.get(); entry != nullptr && entry->if_index != 0; ++entry) {
    if (!std::string_view(entry->if_name).starts_with(settings_.interface_prefix())) continue;
    if (netlink.delete_link(entry->if_name)) ++interfaces;
  }
  TRY(remove_firewall(settings_));
  const std::string own = settings_.run_dir + "/cgroup";
  if (::umount2(own.c_str(), 0) == 0) ::rmdir(own.c_str());
  std::printf("removed %zu containers, %zu control groups, %zu interfaces, the nft table\n", containers, groups, interfaces);
  return {};
}

}  // namespace skerry::sandbox
