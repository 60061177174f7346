#include "sandboxd/settings.h"

#include <arpa/inet.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "contract/plan.h"

namespace skerry::sandbox {

std::string address_text(uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, (address >> 16) & 255, (address >> 8) & 255, address & 255);
}

uint32_t Settings::group_index(std::string_view group) {
  if (group.size() < 2 || group[0] != 's' || group[1] == '0') return 0;
  uint32_t index = 0;
  const auto parsed = std::from_chars(group.data() + 1, group.data() + group.size(), index);
  return parsed.ec == std::errc() && parsed.ptr == group.data() + group.size() && index <= kMaxSlotIndex ? index : 0;
}

Result<Settings> parse_settings(int argc, char** argv) {
  Settings s;
  std::string subnet = "198.18.0.0/16", open;
  if (argc < 2) return fail(ErrorCode::kInvalidArgument, "usage: skerry-sandboxd starter|filler|reaper|sweep|doctor [--run-dir DIR] [--state-dir DIR] ...");
  s.role = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i], value = argv[i + 1];
    const auto number = [&](uint32_t& out) {
      const auto parsed = std::from_chars(value.data(), value.data() + value.size(), out);
      return parsed.ec == std::errc() && parsed.ptr == value.data() + value.size();
    };
    const auto megabytes = [&](uint64_t& out) {
      uint32_t count = 0;
      const bool read = number(count) && count > 0 && (uint64_t{count} << 20) <= kMaxMemoryBytes;
      if (read) out = uint64_t{count} << 20;
      return read;
    };
    bool ok = true;
    if (name == "--run-dir") s.run_dir = value;
    else if (name == "--state-dir") s.state_dir = value;
    else if (name == "--tag") s.tag = value;
    else if (name == "--subnet") subnet = value;
    else if (name == "--https-port") ok = number(s.https_port) && s.https_port > 0 && s.https_port <= 65535;
    else if (name == "--edge-uid") ok = number(s.edge_uid);
    else if (name == "--edge-gid") ok = number(s.edge_gid);
    else if (name == "--control-uid") ok = number(s.control_uid);
    else if (name == "--control-gid") ok = number(s.control_gid);
    else if (name == "--max-memory-mb") ok = megabytes(s.max_memory_bytes);
    else if (name == "--max-job-memory-mb") ok = megabytes(s.max_job_memory_bytes);
    else if (name == "--max-scratch-mb") ok = megabytes(s.max_scratch_bytes);
    else if (name == "--max-scratch-total-mb") ok = megabytes(s.max_scratch_total_bytes);
    else if (name == "--free-disk-mb") ok = megabytes(s.free_disk_bytes);
    else if (name == "--open") open = value;
    else if (name == "--bandwidth-mbit") {
      uint32_t megabits = 0;
      ok = number(megabits) && megabits > 0 && megabits * 1'000'000ULL <= kMaxBandwidthBits;
      s.bandwidth_bits = megabits * 1'000'000ULL;
    } else ok = false;
    if (!ok) return fail(ErrorCode::kInvalidArgument, "option `{} {}`", name, value);
  }
  if (argc % 2 != 0) return fail(ErrorCode::kInvalidArgument, "option `{}` needs a value", argv[argc - 1]);
  in_addr parsed{};
  if (!subnet.ends_with("/16") || ::inet_pton(AF_INET, subnet.substr(0, subnet.size() - 3).c_str(), &parsed) != 1 || (ntohl(parsed.s_addr) & 0xFFFF) != 0)
    return fail(ErrorCode::kInvalidArgument, "--subnet `{}` must be a.b.0.0/16", subnet);
  s.subnet = ntohl(parsed.s_addr);
  std::vector<std::string> ranges;
  for (size_t at = 0; at < open.size();) {
    const size_t comma = std::min(open.find(',', at), open.size());
    ranges.push_back(open.substr(at, comma - at));
    at = comma + 1;
  }
  TRY_ASSIGN(s.open, read_egress_open(ranges, subnet), "--open");
  if (s.tag.empty() || s.tag.size() > kMaxTagBytes || s.tag.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") != std::string::npos)
    return fail(ErrorCode::kInvalidArgument, "--tag `{}` must be 1 to {} lower-case letters and digits", s.tag, kMaxTagBytes);
  if (s.tag == "sk") return fail(ErrorCode::kInvalidArgument, "--tag `sk` would share its interfaces' names with `{}`", kDefaultTag);
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path - 1);
  const std::string own(path, n > 0 ? static_cast<size_t>(n) : 0);
  s.program_dir = own.substr(0, own.rfind('/'));
  return s;
}

}  // namespace skerry::sandbox
