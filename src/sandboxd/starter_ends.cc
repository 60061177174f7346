// What becomes of starter's containers: what their inits report, how they end, and who is left after a restart. See starter.h.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "os/file.h"
#include "sandboxd/policies.h"
#include "sandboxd/starter.h"
#include "sandboxd/state_file.h"

namespace skerry::sandbox {

void Starter::watch(Container& c) {
  const std::string id = c.id;
  if (c.process.report) (void)poller_.add(c.process.report.get(), [this, id] { on_report(id); });
  if (c.memory) (void)poller_.add(c.memory.get(), [this, id] { on_out_of_memory(id); });
  (void)poller_.add(c.process.pidfd.get(), [this, id] { on_exit(id); });
}

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
      if (!c.spare_kind.empty()) {
        c.executed = true;
        break;
      }
      c.running = true;
      c.retry.reset();
      send_started(c);
      break;
    case Report::Kind::kFailed: {
      c.failed = true;
      report.phase[sizeof report.phase - 1] = report.message[sizeof report.message - 1] = '\0';
      logger_.warn("a start failed", {{"id", id}, {"phase", report.phase}, {"error", report.message}});
      if (!c.spare_kind.empty() || (c.prestarted && c.retry)) break;
      c.retry.reset();
      send(recipient(c), StartFailed{c.request, id, report.phase, report.message, static_cast<uint8_t>(report.status)});
      break;
    }
    case Report::Kind::kEnded: c.last = report; break;
  }
}

// cgroup v1 kills one process of the group only; what is left of a program without one of its processes is nothing that anybody meant.
void Starter::on_out_of_memory(const std::string& id) {
  const auto it = containers_.find(id);
  if (it == containers_.end()) return;
  Container& c = it->second;
  c.out_of_memory = true;
  poller_.remove(c.memory.get());
  kill_container(c);
}

void Starter::on_exit(const std::string& id) {
  const auto it = containers_.find(id);
  if (it == containers_.end()) return;
  Container& c = it->second;
  // What the container said last is read before it is forgotten.
  for (int i = 0; i < 3 && c.process.report; ++i) on_report(id);
  const std::string group = settings_.group_name(c.index);
  Exited exited;
  exited.id = id;
  if (c.last.kind == Report::Kind::kEnded) {
    if (WIFEXITED(c.last.status)) exited.exit_code = WEXITSTATUS(c.last.status);
    if (WIFSIGNALED(c.last.status)) exited.term_signal = WTERMSIG(c.last.status);
  } else if (c.process.report) {
    exited.term_signal = SIGKILL;  // the init itself was ended
  }  // else adopted: its report went to an earlier starter
  exited.out_of_memory = c.out_of_memory || cgroups_->was_out_of_memory(group);
  exited.cpu_us = cgroups_->cpu_us(group);
  exited.peak_memory_bytes = cgroups_->peak_memory_bytes(group);
  const bool tell = c.running;
  const int client = recipient(c);
  if (!c.spare_kind.empty()) on_spare_exit(c);
  else if (!c.running && !c.failed && !c.retry)
    send(client, StartFailed{c.request, id, "process", "the container ended while it was being set up", static_cast<uint8_t>(ErrorCode::kIo)});
  for (const UniqueFd* fd : {&c.process.report, &c.memory, &c.process.pidfd}) poller_.remove(fd->get());
  if (!c.spare_kind.empty()) poller_.remove(c.status.get());
  auto ended = containers_.extract(it);
  if (ended.mapped().retry) return boot_instead(ended.mapped());
  remove_files(id);
  tell_reaper(ended.mapped().index, {});
  if (tell) send(client, exited);
}

void Starter::kill_container(Container& c) {
  c.retry.reset();  // it is meant to end
  // A frozen process does not die before it is thawed (cgroup v1).
  (void)cgroups_->set_frozen(settings_.group_name(c.index), false);
  (void)cgroups_->lift_cpu_limit(settings_.group_name(c.index));
  ::syscall(SYS_pidfd_send_signal, c.process.pidfd.get(), SIGKILL, nullptr, 0);
  if (killed_.empty()) thaw_again_at_ = now() + kThawAgainAfter;
  killed_.insert(c.id);
}

void Starter::thaw_killed() {
  if (killed_.empty() || now() < thaw_again_at_) return;
  thaw_again_at_ = now() + kThawAgainAfter;
  std::erase_if(killed_, [this](const std::string& id) {
    const auto it = containers_.find(id);
    if (it == containers_.end()) return true;
    (void)cgroups_->set_frozen(settings_.group_name(it->second.index), false);
    return false;
  });
}

// ---- after a restart

// Instances go on. Everything else that is found belonged to the starter before: jobs, starts half made, and slots that waited in its pool.
void Starter::adopt() {
  std::set<std::string> owned;
  for (const auto& state : read_states(settings_)) {
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, state.pid, 0)));
    // The number may belong to another process by now: the start time tells.
    if (!pidfd || !is_same_process(state)) continue;
    Container c;
    c.id = state.id;
    c.label = state.label;
    c.index = state.index;
    c.address = address_of_live(state.index, settings_);
    c.transport = state.transport;
    c.running = true;
    c.process.pid = state.pid;
    c.process.pidfd = std::move(pidfd);
    const std::string group = settings_.group_name(state.index);
    if (auto memory = cgroups_->watch_memory(group)) c.memory = std::move(*memory);
    if (state.transport == Transport::kTcp)
      if (auto net = open_at(AT_FDCWD, fmt::format("/proc/{}/ns/net", state.pid), O_RDONLY)) c.net_namespace = std::move(*net);
    owned.insert(group);
    watch(containers_.emplace(state.id, std::move(c)).first->second);
    logger_.info("adopted a container", {{"id", state.id}});
  }
  for (const std::string& group : cgroups_->list())
    if (const uint32_t index = settings_.group_index(group); index != 0 && !owned.contains(group)) tell_reaper(index, {});
  for (const std::string& id : instance_ids(settings_))
    if (!containers_.contains(id)) tell_reaper(0, id);
}

// ---- reaper

void Starter::tell_reaper(uint32_t index, const std::string& id) {
  if (unreaped_.size() >= kMaxUnreaped) unreaped_.pop_front();  // reaper's own sweep finds it
  unreaped_.push_back(encode_dead({index, id}));
  send_unreaped();
}

void Starter::send_unreaped() {
  if (!reaper_) {
    auto connection = connect_at_once(settings_.run_dir + "/reaper.sock");
    if (!connection) return;
    reaper_ = std::move(*connection);
  }
  while (!unreaped_.empty()) {
    if (auto sent = send_message(reaper_.get(), unreaped_.front()); !sent) {
      if (sent.error().sys_errno() != EAGAIN) reaper_.reset();
      return;
    }
    unreaped_.pop_front();
  }
}

}  // namespace skerry::sandbox
