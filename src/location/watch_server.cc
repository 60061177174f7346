#include "location/watch_server.h"

#include <algorithm>

#include "os/unix_socket.h"

namespace skerry {
namespace {
constexpr size_t kMaxFromEdge = 16U << 20;
constexpr auto kWriteTime = std::chrono::seconds(30);
}  // namespace

WatchServer::WatchServer(Loop& loop, const Logger& logger, uint32_t edge_uid, MakeSnapshot make_snapshot)
    : loop_(loop), logger_(logger), edge_uid_(edge_uid), make_snapshot_(std::move(make_snapshot)), scope_(loop) {}

void WatchServer::serve(UniqueFd connection) {
  const auto peer = peer_credentials(connection.get());
  // SECURITY: the snapshot has the TLS key; only edge's own user gets it.
  if (!peer || (peer->uid != edge_uid_ && peer->uid != 0)) {
    logger_.warn("refused a watch connection", {{"uid", peer ? peer->uid : 0}});
    return;
  }
  scope_.spawn(run_edge(std::make_unique<EdgeConnection>(loop_, std::move(connection))));
}

void WatchServer::enqueue(EdgeConnection& edge, const watch::FromControl& message) {
  edge.outgoing += watch::frame(watch::encode(message));
  if (edge.outgoing.size() > kMaxPendingBytes) return edge.stream.abort();
  edge.outgoing_ready.set();
}

void WatchServer::ask(Waiter& waiter, EdgeConnection& edge) {
  waiter.edge = &edge;
  ++waiter.tries;
  enqueue(edge, waiter.request);
}

void WatchServer::arrived(EdgeConnection& edge) {
  edges_.push_back(&edge);
  for (const auto& [id, waiter] : verify_waiters_) {
    if (waiter->edge != nullptr || waiter->answered || waiter->tries >= kVerifyTries) continue;
    ask(*waiter, edge);
    waiter->event.set();
  }
}

void WatchServer::left(EdgeConnection& edge) {
  edges_.remove(&edge);
  if (edges_.empty()) instances_.clear();
  for (const auto& [id, waiter] : verify_waiters_) {
    if (waiter->edge != &edge || waiter->answered) continue;
    waiter->edge = nullptr;
    waiter->without_edge_since = loop_.now();
    if (!edges_.empty() && waiter->tries < kVerifyTries) ask(*waiter, *edges_.back());
    waiter->event.set();
  }
}

Task<void> WatchServer::write_messages(EdgeConnection& edge) {
  for (;;) {
    if (edge.outgoing.empty()) {
      (void)co_await edge.outgoing_ready.wait();
      continue;
    }
    const std::string batch = std::exchange(edge.outgoing, {});
    if (!co_await edge.stream.write(batch, {}, loop_.now() + kWriteTime)) co_return edge.stream.abort();
  }
}

Task<void> WatchServer::run_edge(std::unique_ptr<EdgeConnection> edge) {
  auto snapshot = make_snapshot_();
  if (!snapshot) {
    logger_.error("no snapshot for edge", {{"error", snapshot.error().message()}});
    co_return;
  }
  enqueue(*edge, std::move(*snapshot));
  arrived(*edge);
  logger_.info("an edge follows");
  {
    Scope writer(loop_);
    writer.spawn(write_messages(*edge));
    watch::FrameReader frames(kMaxFromEdge);
    auto chunk = std::make_unique<char[]>(64 * 1024);
    for (;;) {
      auto n = co_await edge->stream.read({chunk.get(), 64 * 1024}, kNoDeadline);
      if (!n || *n == 0) break;
      frames.append({chunk.get(), *n});
      if (auto taken = take_messages(frames); !taken) {
        logger_.error("edge sent what is not a message", {{"error", taken.error().message()}});
        break;
      }
    }
  }
  left(*edge);
  logger_.warn("an edge went away");
}

Result<void> WatchServer::take_messages(watch::FrameReader& frames) {
  for (;;) {
    TRY_ASSIGN(const auto text, frames.next());
    if (!text) return {};
    TRY_ASSIGN(watch::FromEdge message, watch::decode_from_edge(*text));
    on_message(std::move(message));
  }
}

void WatchServer::on_message(watch::FromEdge message) {
  if (const auto* applied = std::get_if<watch::Applied>(&message)) {
    for (const auto& [version, event] : applied_waiters_)
      if (version <= applied->version) event->set();
  } else if (auto* verified = std::get_if<watch::Verified>(&message)) {
    const auto waiter = verify_waiters_.find(verified->id);
    if (waiter == verify_waiters_.end()) return;  // given up
    waiter->second->answer = std::move(*verified);
    waiter->second->answered = true;
    waiter->second->event.set();
  } else if (auto* state = std::get_if<watch::State>(&message)) {
    instances_ = std::move(state->instances);
  }
}

Task<bool> WatchServer::publish(watch::FromControl change, uint64_t version, TimePoint deadline) {
  if (edges_.empty()) co_return false;
  Event event(loop_);
  const auto place = applied_waiters_.emplace(applied_waiters_.end(), version, &event);
  struct Leave {
    std::list<std::pair<uint64_t, Event*>>& list;
    std::list<std::pair<uint64_t, Event*>>::iterator at;
    ~Leave() { list.erase(at); }
  } const leave{applied_waiters_, place};
  for (EdgeConnection* edge : edges_) enqueue(*edge, change);
  co_return co_await event.wait(deadline) == Wake::kSet;
}

Task<Result<watch::Verified>> WatchServer::verify(FunctionId function, RevisionConfig revision, TimePoint deadline) {
  Waiter waiter(loop_);
  const uint64_t id = next_verify_++;
  waiter.request = {id, std::move(function), std::move(revision)};
  waiter.without_edge_since = loop_.now();
  verify_waiters_[id] = &waiter;
  struct Leave {
    std::map<uint64_t, Waiter*>& map;
    uint64_t id;
    ~Leave() { map.erase(id); }
  } const leave{verify_waiters_, id};
  if (!edges_.empty()) ask(waiter, *edges_.back());
  while (!waiter.answered) {
    const bool lost = waiter.edge == nullptr && waiter.tries >= kVerifyTries;
    const TimePoint until = waiter.edge != nullptr ? deadline : std::min(deadline, waiter.without_edge_since + kEdgeReturns);
    if (!lost && co_await waiter.event.wait(until) == Wake::kSet) continue;
    if (waiter.answered) break;
    if (waiter.edge == nullptr) co_return fail(ErrorCode::kUnavailable, "edge is away, so the revision cannot be started; `skerry status` shows when it is back");
    co_return fail(ErrorCode::kUnavailable, "edge did not say in time whether the revision starts");
  }
  co_return std::move(waiter.answer);
}

}  // namespace skerry
