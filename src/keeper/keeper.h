// Keeper: the loop of skerry-keeper. Accepts starter's connections, takes sandbox::Deliver messages, carries
// out up to kMaxDeliveries at once.
//
// Refuses connections of anybody but `client_uid`, and deliveries beyond its bounds; a refused start is told
// through its environment pipe. One thread. Logs ids and reasons, never a name with its value.
#pragma once

#include <list>
#include <memory>

#include "base/log.h"
#include "base/unique_fd.h"
#include "crypto/seal.h"
#include "keeper/delivery.h"
#include "keeper/poller.h"
#include "os/unix_socket.h"

namespace skerry::keeper {

inline constexpr size_t kMaxDeliveries = 2000;  // instances with secrets of one location
inline constexpr size_t kMaxConnections = 64;   // starter makes one a start; more wait in the kernel's queue
inline constexpr size_t kMaxSecretMemory = 256ULL << 20;  // of all deliveries: blobs and search tables

class Keeper final : private Handler {
 public:
  // `listener` is a non-blocking SEQPACKET listening socket. Borrows logger and keys.
  static Result<std::unique_ptr<Keeper>> make(const Logger& logger, const LocationKeypair& keys,
                                              UniqueFd listener, uid_t client_uid);
  ~Keeper() override;

  // Serves for ever; returns only when the kernel refuses to wait.
  Result<void> run();
  // One round, for tests.
  Result<void> run_once(int timeout_ms);
  [[nodiscard]] size_t deliveries() const { return deliveries_.size(); }

 private:
  class Connection;
  Keeper(const Logger& logger, const LocationKeypair& keys, UniqueFd listener, uid_t client_uid,
         Poller poller);
  void on_ready() override;  // the listener
  void take(Message message);
  void sweep();
  void watch_listener();

  const Logger& logger_;
  const LocationKeypair& keys_;
  UniqueFd listener_;
  bool listening_ = false;  // the listener is watched: there is room for a connection
  uid_t client_uid_;
  Poller poller_;
  std::list<std::unique_ptr<Connection>> connections_;
  std::list<std::unique_ptr<Delivery>> deliveries_;
};

}  // namespace skerry::keeper
