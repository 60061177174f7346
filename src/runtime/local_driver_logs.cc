#include <poll.h>
#include <unistd.h>

#include "runtime/local_driver_instance.h"

namespace skerry {

// What instances print, and to which request it belongs.
void LocalDriver::system_line(const Instance& instance, std::string_view line) {
  log_.append(instance.source, LogStream::kSystem, instance.request_id, line);
}

bool LocalDriver::drain_log(Instance& instance, LogStream stream) {
  const bool is_out = stream == LogStream::kStdout;
  const int fd = (is_out ? instance.out : instance.err).get();
  LineCutter& lines = is_out ? instance.out_lines : instance.err_lines;
  char buffer[16384];
  // Bounded: a function that writes without end must not hold the loop.
  for (int rounds = 0; rounds < 16; ++rounds) {
    const ssize_t n = fd >= 0 ? ::read(fd, buffer, sizeof buffer) : 0;
    if (n <= 0) return true;
    lines.feed({buffer, static_cast<size_t>(n)}, [&](std::string_view line) { log_.append(instance.source, stream, instance.request_id, line); });
    if (static_cast<size_t>(n) < sizeof buffer) return true;
  }
  return false;
}

void LocalDriver::drain_logs(Instance& instance) {
  pollfd waiting[] = {{instance.out.get(), POLLIN, 0}, {instance.err.get(), POLLIN, 0}};
  if (::poll(waiting, 2, 0) <= 0) return;
  if (waiting[0].revents != 0) drain_log(instance, LogStream::kStdout);
  if (waiting[1].revents != 0) drain_log(instance, LogStream::kStderr);
}

Task<void> LocalDriver::read_log(std::shared_ptr<Instance> instance, LogStream stream) {
  const bool is_out = stream == LogStream::kStdout;
  UniqueFd& fd = is_out ? instance->out : instance->err;
  FdWatch watch(loop_, fd.get());
  while (!watch.hung_up() && !instance->exited.is_set()) {
    (void)co_await watch.readable().wait();
    drain_log(*instance, stream);
    // A flood yields to the other work of the loop between its pieces; edge-triggered readiness does not come again for what was left.
    while (!drain_log(*instance, stream)) co_await loop_.sleep_until(loop_.now());
  }
  drain_log(*instance, stream);
  (is_out ? instance->out_lines : instance->err_lines).finish([&](std::string_view line) { log_.append(instance->source, stream, instance->request_id, line); });
  if (++instance->logs_ended == 2) co_await replace_without_log(instance);
}

// The output of an instance with secrets goes through keeper. Where it ends while the program lives, keeper died: what the program prints now stays in
// a pipe that nobody reads, and is lost. Shims never close their output; a server of the author's that does, does so before it is ready.
Task<void> LocalDriver::replace_without_log(std::shared_ptr<Instance> instance) {
  Instance& i = *instance;
  const auto over = [&] { return i.stop_asked || i.reported || i.exited.is_set(); };
  if (i.config.sealed_secrets.empty() || over() || (i.config.transport == Transport::kTcp && !i.ready)) co_return;
  const auto give_up = [&] {
    i.reported = true;
    events_->on_exited(i.source.instance);  // takes no request from here on
  };
  const bool was_ready = i.ready;
  if (was_ready) give_up();
  if (co_await i.exited.wait(loop_.now() + kEndTime) == Wake::kSet) co_return;
  if (!was_ready) {  // a start that fails has its own words; only one that goes on is given up
    if (over()) co_return;
    give_up();
  }
  system_line(i, "its log was cut off when keeper restarted; another instance takes its place");
  stop(i.source.instance, StopKind::kDrain);
}

void LocalDriver::set_request(const InstanceId& id, std::string_view request_id) {
  const auto instance = find(id);
  if (!instance) return;
  // What was written up to now belongs to the request before.
  drain_logs(*instance);
  ++instance->requests;
  if (request_id.empty() && !instance->config.sealed_secrets.empty()) scope_.spawn(end_request_late(instance));
  else instance->request_id = request_id;
}

// What a function with secrets has printed may still be in keeper when its request ends: it belongs to that request, unless the next one began.
Task<void> LocalDriver::end_request_late(std::shared_ptr<Instance> instance) {
  const uint64_t at = instance->requests;
  co_await loop_.sleep_until(loop_.now() + kKeeperLag);
  if (instance->requests == at) instance->request_id.clear();
}

}  // namespace skerry
