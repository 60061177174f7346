// Edge's side of the watch: what control says, in force and on disk. Keeps the last snapshot, so that a location goes on without control.
// Thread: edge's loop.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/log.h"
#include "contract/watch.h"
#include "net/stream.h"

namespace skerry {

class EdgeConfig {
 public:
  class Receiver {
   public:
    virtual ~Receiver() = default;
    // The whole configuration after each change; the receiver compares with what it had.
    virtual void on_configuration(const EdgeConfig& config) = 0;
    virtual void on_verify(const watch::Verify& request) = 0;
  };

  // `directory` (edge's own, exists) keeps snapshot.json.
  EdgeConfig(Loop& loop, const Logger& logger, std::string socket_path, std::string directory, Receiver& receiver);

  // Reads the last snapshot from disk; false when there is none.
  bool load();
  // Follows control for ever. Run it in a Scope.
  Task<void> run();
  // Dropped while control is away: it asks again.
  void send(const watch::FromEdge& message);

  [[nodiscard]] const watch::Snapshot& snapshot() const { return snapshot_; }
  [[nodiscard]] const std::map<FunctionId, FunctionConfig>& functions() const { return functions_; }

 private:
  Task<void> follow(Stream& stream);
  Task<void> write_messages(Stream& stream);
  Result<void> take_messages(watch::FrameReader& frames);
  void apply(watch::FromControl message);
  Result<void> save();

  Loop& loop_;
  const Logger& logger_;
  std::string socket_path_;
  std::string directory_;
  Receiver& receiver_;
  watch::Snapshot snapshot_;  // without functions: those are in functions_
  std::map<FunctionId, FunctionConfig> functions_;
  std::string outgoing_;
  Event outgoing_ready_;
  bool connected_ = false;
};

}  // namespace skerry
