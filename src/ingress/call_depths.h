// How deep in a chain of calls each instance stands, kept here and not in what functions send: a header can
// be dropped or forged, the address that a container calls from cannot (the firewall drops any other).
//
// Bounded by the addresses that containers have. Thread: edge's loop.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>

#include "contract/ids.h"
#include "ingress/headers.h"

namespace skerry {

class CallDepths {
 public:
  // `address` (host byte order) is this instance's from now on.
  void placed(const InstanceId& instance, uint32_t address);
  // A request that came after `hops` calls (0 to kMaxHops) is in the instance's hands, and no longer. Unknown
  // instances are ignored.
  void enter(const InstanceId& instance, int hops);
  void leave(const InstanceId& instance, int hops);
  // The hops of a call from there. Of several requests in progress the deepest counts: which of them calls is
  // not known. With none in progress the last one counts, whose doing it most likely is: a function that
  // answers first and calls afterwards gets no further than others. An instance that has ended keeps its
  // depth until the address has a new one, for a call may be read after its caller's end. 0 where there was
  // never an instance.
  [[nodiscard]] int hops_from(uint32_t address) const;

 private:
  struct Place {
    InstanceId instance;
    std::array<uint32_t, kMaxHops + 1> in_progress{};  // by their hops
    int last = -1;
  };
  Place* find(const InstanceId& instance);

  std::unordered_map<uint32_t, Place> places_;
  std::unordered_map<InstanceId, uint32_t> addresses_;
};

}  // namespace skerry
