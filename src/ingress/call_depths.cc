#include "ingress/call_depths.h"

namespace skerry {

void CallDepths::placed(const InstanceId& instance, uint32_t address) {
  Place& place = places_[address];
  if (place.instance == instance) return;  // told again by a sandboxd that restarted
  addresses_.erase(place.instance);
  place = {.instance = instance};
  addresses_[instance] = address;
}

CallDepths::Place* CallDepths::find(const InstanceId& instance) {
  const auto address = addresses_.find(instance);
  return address == addresses_.end() ? nullptr : &places_.at(address->second);
}

void CallDepths::enter(const InstanceId& instance, int hops) {
  if (Place* place = find(instance); place != nullptr) ++place->in_progress.at(static_cast<size_t>(hops));
}

void CallDepths::leave(const InstanceId& instance, int hops) {
  Place* place = find(instance);
  if (place == nullptr) return;
  if (uint32_t& count = place->in_progress.at(static_cast<size_t>(hops)); count > 0)
    --count;  // 0: it was placed during the request
  place->last = hops;
}

int CallDepths::hops_from(uint32_t address) const {
  const auto found = places_.find(address);
  if (found == places_.end()) return 0;
  const Place& place = found->second;
  for (int hops = kMaxHops; hops >= 0; --hops)
    if (place.in_progress[static_cast<size_t>(hops)] > 0) return hops + 1;
  return place.last + 1;
}

}  // namespace skerry
