#include "resolver/quota.h"

#include <algorithm>

namespace skerry::dns {
namespace {
constexpr Duration kFull =
    std::chrono::seconds(Quota::kBurst / Quota::kPerSecond + 1);  // by then a bucket is full again
}

Quota::Asker* Quota::find(uint32_t address, TimePoint now) {
  now_ = now;
  const auto known = askers_.find(address);
  if (known != askers_.end()) return &known->second;
  if (askers_.size() >= kMaxKnown) forget_idle(now);
  if (askers_.size() >= kMaxKnown) return nullptr;
  Asker& asker = askers_[address];
  asker.since = now;
  return &asker;
}

void Quota::forget_idle(TimePoint now) {
  std::erase_if(askers_, [&](const auto& entry) {
    const Asker& a = entry.second;
    return a.in_flight == 0 && a.connections == 0 && now - a.since >= kFull;
  });
}

bool Quota::take(uint32_t address, TimePoint now) {
  Asker* asker = find(address, now);
  if (asker == nullptr) return false;
  const double passed = std::chrono::duration<double>(now - asker->since).count();
  asker->tokens = std::min<double>(kBurst, asker->tokens + passed * kPerSecond);
  asker->since = now;
  if (asker->tokens < 1) return false;
  asker->tokens -= 1;
  return true;
}

bool Quota::enter(uint32_t address) {
  Asker* asker = find(address, now_);
  const size_t each = in_flight_ < kInFlight / 2 ? kInFlightEach : kInFlightEachWhenBusy;
  if (asker == nullptr || in_flight_ >= kInFlight || asker->in_flight >= each) return false;
  ++asker->in_flight;
  ++in_flight_;
  return true;
}

void Quota::leave(uint32_t address) {
  --askers_.at(address).in_flight;
  --in_flight_;
}

bool Quota::connect(uint32_t address) {
  Asker* asker = find(address, now_);
  if (asker == nullptr || connections_ >= kConnections || asker->connections >= kConnectionsEach)
    return false;
  ++asker->connections;
  ++connections_;
  return true;
}

void Quota::disconnect(uint32_t address) {
  --askers_.at(address).connections;
  --connections_;
}

}  // namespace skerry::dns
