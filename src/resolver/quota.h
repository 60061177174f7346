// Who may ask how much: a rate and a number of questions in flight for each container, and a number for all
// together. Pure bookkeeping; time is passed in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "base/clock.h"

namespace skerry::dns {

class Quota {
 public:
  // A lookup is two questions (A and AAAA). A crawler that opens all the connections that it may every second
  // stays below.
  static constexpr int kPerSecond = 200, kBurst = 400;
  // Each question holds up to three descriptors for up to 5 s.
  static constexpr size_t kInFlight = 512, kInFlightEach = 32;
  // .. once half of all is taken: who asks a server that never answers leaves room for those who ask in
  // earnest.
  static constexpr size_t kInFlightEachWhenBusy = 8;
  // TCP connections of askers, which may stay without a word for a while.
  static constexpr size_t kConnections = 128, kConnectionsEach = 8;
  static constexpr size_t kMaxKnown = 16'384;  // more than there are containers

  // One question of its rate.
  bool take(uint32_t address, TimePoint now);
  bool enter(uint32_t address);
  void leave(uint32_t address);
  bool connect(uint32_t address);
  void disconnect(uint32_t address);
  [[nodiscard]] size_t known() const { return askers_.size(); }

 private:
  struct Asker {
    double tokens = kBurst;
    TimePoint since{};
    size_t in_flight = 0;
    size_t connections = 0;
  };
  Asker* find(uint32_t address, TimePoint now);
  void forget_idle(TimePoint now);

  std::unordered_map<uint32_t, Asker> askers_;
  TimePoint now_{};
  size_t in_flight_ = 0;
  size_t connections_ = 0;
};

}  // namespace skerry::dns
