// What the three roles of sandboxd are told on the command line, and the numbers that they share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "contract/egress.h"

namespace skerry::sandbox {

// Ids on the host. Layers on disk belong to one shifted range; each slot has a range of its own. Nothing maps to a user of the host.
inline constexpr uint32_t kIdsPerRange = 65536;
inline constexpr uint32_t kLayerIdBase = 0x70000000;
inline constexpr uint32_t kSlotIdBase = 0x10000000;
inline constexpr uint32_t kMaxSlotIndex = 16000;  // kSlotIdBase + 16001 * 65536 stays below kLayerIdBase; addresses fit a /16 (x.y.0.2 ..)
inline constexpr uint32_t kFunctionUser = 1000;   // fn, inside

[[nodiscard]] constexpr uint32_t slot_id_base(uint32_t index) { return kSlotIdBase + index * kIdsPerRange; }

inline constexpr std::string_view kDefaultTag = "skerry";
inline constexpr size_t kMaxTagBytes = 9;  // with '-' and five digits: the 15 characters of an interface's name

// Half of a gigabit: no single container fills the usual uplink, and the largest body (10 MB) takes a sixth of a second.
inline constexpr uint64_t kBandwidthBits = 500'000'000, kMaxBandwidthBits = 100'000'000'000;

struct Settings {
  std::string role;
  std::string run_dir = "/run/skerry";
  std::string state_dir = "/var/lib/skerry";
  uint32_t edge_uid = 0, edge_gid = 0, control_uid = 0, control_gid = 0;
  std::string tag = "skerry";  // of the nft table, the cgroups and the interfaces
  uint32_t subnet = 0;         // host byte order; a /16
  uint32_t https_port = 8443;  // of ingress, which containers reach at gateway()
  uint64_t max_memory_bytes = 512ULL << 20;       // the operator's cap for one instance
  uint64_t max_job_memory_bytes = 3072ULL << 20;  // .. and for one of control's jobs
  // Scratch disks: of one instance, of all together, and what the disk of state_dir keeps free whatever they take.
  uint64_t max_scratch_bytes = 4ULL << 30, max_scratch_total_bytes = 20ULL << 30, free_disk_bytes = 2ULL << 30;
  // Closed ranges that an egress policy may name, and how much one container sends, and receives, in a second.
  std::vector<EgressRule> open;
  uint64_t bandwidth_bits = kBandwidthBits;
  std::string program_dir;     // where skerry-unpack lies

  // "sk-12": at most 15 characters, unique to the tag (parse_settings sees to both).
  [[nodiscard]] std::string interface_prefix() const { return tag == kDefaultTag ? "sk-" : tag + "-"; }
  [[nodiscard]] std::string interface_name(uint32_t index) const { return interface_prefix() + std::to_string(index); }
  [[nodiscard]] uint32_t gateway() const { return subnet + 1; }
  [[nodiscard]] uint32_t address(uint32_t index) const { return subnet + 256 + index; }
  // Of a slot with an egress policy: in the upper half of the subnet, which is closed but for the policies that are known (firewall.cc).
  [[nodiscard]] uint32_t held_address(uint32_t index) const { return subnet + 32768 + index; }
  [[nodiscard]] std::string instances_dir() const { return run_dir + "/instances"; }
  [[nodiscard]] std::string work_dir() const { return run_dir + "/mnt"; }  // for mounts that only we see
  [[nodiscard]] std::string layers_dir() const { return state_dir + "/layers"; }
  [[nodiscard]] std::string scratch_dir() const { return state_dir + "/scratch"; }
  [[nodiscard]] static std::string group_name(uint32_t index) { return "s" + std::to_string(index); }
  // The index in a name that group_name() made, 0 for any other.
  [[nodiscard]] static uint32_t group_index(std::string_view group);
};

Result<Settings> parse_settings(int argc, char** argv);
// "198.18.0.1" of an address in host byte order.
[[nodiscard]] std::string address_text(uint32_t address);

}  // namespace skerry::sandbox
