// Control's side of the watch (contract/watch.h): tells each connected edge what is in force, and hears what it says.
//
// Thread: control's loop. One edge is expected now; a second connection gets the same. Waiting has deadlines; an edge that is away is no error for
// a change, which is durable in the store and comes with its next snapshot. A request to start a revision outlives the edge that had it: the edge
// that comes back within kEdgeReturns is asked again, once.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "contract/watch.h"
#include "loop/scope.h"
#include "net/stream.h"

namespace skerry {

class WatchServer {
 public:
  static constexpr Duration kEdgeReturns = std::chrono::seconds(10);
  static constexpr int kVerifyTries = 2;                   // a revision that takes edge down with it is not started for ever
  static constexpr size_t kMaxPendingBytes = 512U << 20;  // for an edge that does not read; it is disconnected, and gets a snapshot when it returns

  // The configuration as it stands, for a new connection.
  using MakeSnapshot = std::function<Result<watch::Snapshot>()>;

  // Only a peer with `edge_uid` (or root, for tests) is served.
  WatchServer(Loop& loop, const Logger& logger, uint32_t edge_uid, MakeSnapshot make_snapshot);
  void serve(UniqueFd connection);

  // Sends a change to every edge and waits until one has applied that version. False when none did in time.
  Task<bool> publish(watch::FromControl change, uint64_t version, TimePoint deadline);
  // Has an edge start one instance of a revision. kUnavailable when no edge comes or none answers in time.
  Task<Result<watch::Verified>> verify(FunctionId function, RevisionConfig revision, TimePoint deadline);

  [[nodiscard]] bool connected() const { return !edges_.empty(); }
  [[nodiscard]] const std::vector<watch::InstanceState>& instances() const { return instances_; }

 private:
  struct EdgeConnection {
    EdgeConnection(Loop& loop, UniqueFd fd) : stream(loop, std::move(fd)), outgoing_ready(loop) {}
    Stream stream;
    std::string outgoing;
    Event outgoing_ready;
  };
  struct Waiter {
    explicit Waiter(Loop& loop) : event(loop) {}
    Event event;  // answered, or `edge` changed
    watch::Verify request;
    watch::Verified answer;
    EdgeConnection* edge = nullptr;  // who has the request
    TimePoint without_edge_since{};
    int tries = 0;
    bool answered = false;
  };

  Task<void> run_edge(std::unique_ptr<EdgeConnection> edge);
  Task<void> write_messages(EdgeConnection& edge);
  void enqueue(EdgeConnection& edge, const watch::FromControl& message);
  void arrived(EdgeConnection& edge);
  void left(EdgeConnection& edge);
  void ask(Waiter& waiter, EdgeConnection& edge);
  Result<void> take_messages(watch::FrameReader& frames);
  void on_message(watch::FromEdge message);

  Loop& loop_;
  const Logger& logger_;
  uint32_t edge_uid_;
  MakeSnapshot make_snapshot_;
  std::list<EdgeConnection*> edges_;
  std::list<std::pair<uint64_t, Event*>> applied_waiters_;
  std::map<uint64_t, Waiter*> verify_waiters_;
  uint64_t next_verify_ = 1;
  std::vector<watch::InstanceState> instances_;
  Scope scope_;
};

}  // namespace skerry
