#include <unistd.h>

#include <charconv>

#include "runtime/local_driver_instance.h"

namespace skerry {

// Instances between requests: what they use, and how they are made to stand still.
std::optional<uint64_t> LocalDriver::cpu_time_us(const InstanceId& id) {
  const auto instance = find(id);
  if (!instance || !instance->cpu) return std::nullopt;
  char text[256];
  const ssize_t n = ::pread(instance->cpu.get(), text, sizeof text, 0);
  if (n <= 0) return std::nullopt;
  std::string_view content(text, static_cast<size_t>(n));
  // cgroup v2: "usage_usec 123\n..."; v1: nanoseconds alone.
  constexpr std::string_view kV2 = "usage_usec ";
  const bool v2 = content.starts_with(kV2);
  if (v2) content.remove_prefix(kV2.size());
  uint64_t value = 0;
  if (std::from_chars(content.data(), content.data() + content.size(), value).ec != std::errc()) return std::nullopt;
  return v2 ? value : value / 1000;
}

// Its connections go first. A server closes what was idle for too long by a timer, which is due the moment it is thawed: a request sent over such a
// connection would be lost to it. The next request has a new one, which waits in the kernel until the instance accepts.
Result<void> LocalDriver::freeze(const InstanceId& id) {
  const auto instance = find(id);
  if (!instance || !instance->ready || instance->stop_asked || instance->exited.is_set()) return fail(ErrorCode::kUnavailable, "the instance is not one that runs");
  TRY(instance->freezer.freeze());
  instance->idle.clear();
  if (instance->sockets.size() <= kFewSockets) ask_for_sockets(*instance);  // now, so that nobody waits for them later
  return {};
}

Result<void> LocalDriver::thaw(const InstanceId& id) {
  const auto instance = find(id);
  if (!instance || instance->exited.is_set()) return fail(ErrorCode::kUnavailable, "the instance has ended");
  return instance->freezer.thaw();
}

}  // namespace skerry
