// The messages of sandboxd (starter), over a SEQPACKET unix socket. Clients: edge (instances) and control (jobs); who may send what is
// decided by the peer's uid (SO_PEERCRED), once, when the connection is made.
//
// request numbers are chosen by the client and come back in the answer. Descriptors travel beside the bytes in the order stated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "contract/plan.h"

namespace skerry::sandbox {

// ---- client -> starter

// fds: plan (sealed memfd); then, if plan.has_secrets, the sealed secrets (memfd); then, for a job, its stdin, stdout and stderr.
struct Start {
  uint64_t request = 0;
};
enum class SignalKind : uint8_t { kTerminate = 0, kKill = 1 };
// Terminate is passed on to the program by the container's init; Kill ends the whole container. Unknown ids are ignored (it has ended already).
struct Signal {
  std::string id;
  SignalKind kind = SignalKind::kTerminate;
};
struct SetFrozen {
  uint64_t request = 0;
  std::string id;
  bool frozen = false;
};
// More unconnected TCP sockets born in the instance's network namespace. Answer: Sockets.
struct MoreSockets {
  uint64_t request = 0;
  std::string id;
  uint8_t count = 1;  // 1..8
};
// Every live instance that this client started or that is left from before a restart. Answer: one Listed each, then Done.
struct List {
  uint64_t request = 0;
};
// What the kernel counted for one instance up to now. Answer: Usage.
struct GetUsage {
  uint64_t request = 0;
  std::string id;
};

// Which spares to keep ready from now on, instead of what was said before. fds: the list (sealed memfd, encode_spares). edge only. Answer: Done.
struct KeepSpares {
  uint64_t request = 0;
};
struct SpareOrder {
  StartPlan plan;  // spare_of() one
  uint8_t count = 0;
};
// For which policies to keep slots ready from now on, instead of what was said before, those that matter most first. fds: the list (sealed memfd,
// encode_policies). edge only. Answer: Done.
struct KeepPolicies {
  uint64_t request = 0;
};
inline constexpr size_t kMaxPolicyOrders = 64;
[[nodiscard]] std::string encode_policies(const std::vector<EgressPolicy>& policies);
Result<std::vector<EgressPolicy>> decode_policies(std::string_view bytes);

inline constexpr size_t kMaxSpareOrders = 64;
[[nodiscard]] std::string encode_spares(const std::vector<SpareOrder>& orders);
Result<std::vector<SpareOrder>> decode_spares(std::string_view bytes);

// ---- starter -> client

// The container's process exists. fds for an instance: read ends of stdout, stderr and status, a read descriptor of its CPU counter
// (cpuacct.usage, or cpu.stat with cgroup v2), its freezer to read and write (freezer.state, or cgroup.freeze with v2), then with Transport::kTcp four
// unconnected sockets. All non-blocking. None for a job.
// With Transport::kUnix the shim's socket is <run_dir>/instances/<id>.sock. Times are microseconds spent in each phase.
struct Started {
  uint64_t request = 0;
  std::string id;
  uint32_t slot_us = 0;
  uint32_t mount_us = 0;
  uint32_t process_us = 0;
  bool prestarted = false;  // a spare became it
  uint32_t address = 0;     // of its end of its link to the host, IPv4, host byte order
};
// Nothing was started, nothing is left over. `phase` is one of: plan, slot, mount, cgroup, secrets, process.
struct StartFailed {
  uint64_t request = 0;
  std::string id;
  std::string phase;
  std::string message;
  uint8_t code = 0;  // ErrorCode
};
// The container has ended and everything in it is dead. Sent once for each Started (and each Listed).
struct Exited {
  std::string id;
  int32_t exit_code = -1;   // -1: not known (ended while starter was away) or ended by a signal
  int32_t term_signal = 0;
  bool out_of_memory = false;
  uint64_t cpu_us = 0;
  uint64_t peak_memory_bytes = 0;
};
// fds as in Started where starter still holds them (not after its own restart); none otherwise.
struct Listed {
  uint64_t request = 0;
  std::string id;
  std::string label;
  uint32_t address = 0;  // as in Started
};
struct Sockets {  // fds: the sockets
  uint64_t request = 0;
  std::string id;
};
struct Usage {
  uint64_t request = 0;
  std::string id;
  uint64_t cpu_us = 0;
  uint64_t memory_bytes = 0;
};
struct Done {
  uint64_t request = 0;
};
// The request could not be carried out (unknown id, not allowed for this client, malformed).
struct Refused {
  uint64_t request = 0;
  std::string message;
};

using ClientMessage = std::variant<Start, Signal, SetFrozen, MoreSockets, List, GetUsage, KeepSpares, KeepPolicies>;
using StarterMessage = std::variant<Started, StartFailed, Exited, Listed, Sockets, Usage, Done, Refused>;

[[nodiscard]] std::string encode(const ClientMessage& message);
[[nodiscard]] std::string encode(const StarterMessage& message);
Result<ClientMessage> decode_client(std::string_view bytes);
Result<StarterMessage> decode_starter(std::string_view bytes);

// ---- control -> filler: layers. One request at a time on a connection; the answer is LayerDone.

// Unpacks a tar (optionally gzip or zstd) into layers/<digest.hex>, visible by rename only when complete. fds: the archive, seekable, offset 0.
// Existing digest: answered at once. `limits` bound what the archive may become.
struct UnpackLayer {
  std::string digest;  // sha256 of the archive as given; verified while unpacking
  std::string subfolder;  // put everything below this absolute path ("/app"), "" or "/" for the root
  uint64_t max_bytes = 0;
  uint32_t max_files = 0;
};
struct RemoveLayer {
  std::string digest;
};
struct HasLayer {
  std::string digest;
};
struct LayerDone {
  bool ok = false;
  bool existed = false;
  uint8_t code = 0;  // ErrorCode
  std::string message;
  uint64_t bytes = 0;
  uint32_t files = 0;
};
using LayerRequest = std::variant<UnpackLayer, RemoveLayer, HasLayer>;
[[nodiscard]] std::string encode(const LayerRequest& message);
[[nodiscard]] std::string encode(const LayerDone& message);
Result<LayerRequest> decode_layer_request(std::string_view bytes);
Result<LayerDone> decode_layer_done(std::string_view bytes);

// ---- starter -> keeper, one message an instance that has secrets; no answer: the pipes are the answer.

// fds: sealed secrets (memfd), write end of the environment pipe, read ends of the program's stdout and stderr, write ends of what edge reads.
// A job's delivery has the first two only.
// keeper writes "NAME=value\0" for each secret and closes the pipe; on failure it closes it after the single byte 0x01, and the start fails
// in phase "secrets". It then copies the two logs line by line, with every secret value of at least 6 bytes replaced by "[secret NAME]".
struct Deliver {
  std::string id;
};
[[nodiscard]] std::string encode(const Deliver& message);
Result<Deliver> decode_deliver(std::string_view bytes);

}  // namespace skerry::sandbox
