// The watch: how an edge gets its configuration from control, and tells it what runs. A stream socket; each message is a 4-byte little-endian
// length and that many bytes of JSON (at most kMaxWatchMessage). Over a unix socket on one machine.
//
// control -> edge, in order:
//   {"type":"snapshot","version":N,"gateway_id":"..","location":"..","domain":"..","tls":{"certificate":PEM,"key":PEM},"functions":[FunctionConfig...]}   first, whole
//   {"type":"function","version":N,"function":FunctionConfig}      added or replaced
//   {"type":"removed","version":N,"id":"<function id>"}
//   {"type":"verify","id":N,"revision":RevisionConfig,"function":"<id>"}   start one instance of it now; answered by "verified"
// edge -> control:
//   {"type":"applied","version":N}                                after the change is in force for new requests
//   {"type":"verified","id":N,"ok":bool,"phase":"..","message":"..","ms":N}
//   {"type":"state","instances":[{"id","function","revision","state":"idle|busy|frozen|starting|stopping","mode","started_ms","phases_us":[slot,mount,runtime,code,ready]?}]}   when it changed, at most once a second
//
// Versions only grow. An edge that reconnects gets a snapshot again. What an edge acknowledged it keeps on disk and serves without control.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "contract/driver.h"
#include "contract/function_config.h"

namespace skerry::watch {

inline constexpr size_t kMaxWatchMessage = 256U << 20;

struct Snapshot {
  uint64_t version = 0;
  std::string gateway_id;
  std::string location;
  std::string domain;
  std::string certificate_pem;
  std::string key_pem;
  std::vector<FunctionConfig> functions;
};
struct FunctionChange {
  uint64_t version = 0;
  FunctionConfig function;
};
struct FunctionRemoved {
  uint64_t version = 0;
  FunctionId id;
};
struct Verify {
  uint64_t id = 0;
  FunctionId function;
  RevisionConfig revision;
};
using FromControl = std::variant<Snapshot, FunctionChange, FunctionRemoved, Verify>;

struct Applied {
  uint64_t version = 0;
};
struct Verified {
  uint64_t id = 0;
  bool ok = false;
  std::string phase;    // of the start that failed
  std::string message;
  int64_t ms = 0;
};
struct InstanceState {
  InstanceId id;
  FunctionId function;
  RevisionId revision;
  std::string state;
  std::string mode;
  int64_t started_ms = 0;
  StartPhases phases;  // of its start; zero before it is ready, and of one that an edge before this one started
};
struct State {
  std::vector<InstanceState> instances;
};
using FromEdge = std::variant<Applied, Verified, State>;

// JSON text without the length in front.
[[nodiscard]] std::string encode(const FromControl& message);
[[nodiscard]] std::string encode(const FromEdge& message);
Result<FromControl> decode_from_control(std::string_view text);
Result<FromEdge> decode_from_edge(std::string_view text);
// Length and text, ready to be written.
[[nodiscard]] std::string frame(std::string_view text);

// Takes what frame() made apart again, however the bytes were cut on their way.
class FrameReader {
 public:
  explicit FrameReader(size_t max_bytes) : max_bytes_(max_bytes) {}
  void append(std::string_view bytes) { buffer_ += bytes; }
  // The next whole message, nothing while it is not complete, kTooLarge for one over the bound: the stream is of no use after that.
  Result<std::optional<std::string>> next();

 private:
  size_t max_bytes_;
  std::string buffer_;
};

}  // namespace skerry::watch
