// The egress policies of slots, as they are in the kernel: a chain for each different policy, an element for each slot's address. filler's alone, which
// calls admit() before a slot has a network, and sweep() now and then.
//
// What a later filler must know is where it cannot be out of step: the interface of a slot has the policy's number as its alias, and goes with the
// container; <run_dir>/egress/<number> is the policy itself, written before the first interface has that number. An address that is not known
// reaches nothing (firewall.cc), so what is lost closes and opens nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "sandboxd/firewall.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

// The address of a slot that lives, as its interface tells: after a restart nothing else is known of it.
[[nodiscard]] uint32_t address_of_live(uint32_t index, const Settings& settings);

class Policies {
 public:
  static constexpr uint32_t kMaxPolicies = 1024;   // different ones at a time; a slot of one more is refused until another has no slot any more
  static constexpr size_t kLookedAtInASweep = 1000;  // slots: a look costs a system call

  // What it does to the machine; a test's own otherwise.
  struct Machine {
    std::function<Result<void>(const std::string&)> run_nft;
    std::function<bool(const std::string&)> has_interface;
  };
  Policies(const Settings& settings, const Logger& logger);
  Policies(const Settings& settings, const Logger& logger, Machine machine) : settings_(settings), logger_(logger), machine_(std::move(machine)) {}

  // The slots that an earlier filler made and that live, for the table's first load.
  Result<HeldSlots> restore();
  // From now on the address of the slot at `index` reaches what `policy` (encoded, not empty) lets it. The alias for its interface.
  Result<std::string> admit(uint32_t index, const std::string& policy);
  // The index belongs to a slot without a policy now.
  void leave(uint32_t index);
  // Takes out the addresses of slots that are gone, and the policies that no slot has.
  void sweep();
  [[nodiscard]] size_t count() const { return policies_.size(); }

 private:
  struct Policy {
    std::string encoded;
    size_t slots = 0;
  };
  struct Element {
    uint32_t number = 0;
    bool gone = false;
  };
  Result<uint32_t> number_for(const std::string& policy, std::string& commands);
  [[nodiscard]] std::string folder() const { return settings_.run_dir + "/egress"; }
  Result<void> write_file(uint32_t number, const std::string& policy) const;
  void remove_file(uint32_t number) const;

  const Settings& settings_;
  const Logger& logger_;
  const Machine machine_;
  std::map<uint32_t, Policy> policies_;  // by number
  std::map<std::string, uint32_t> numbers_;
  std::map<uint32_t, Element> elements_;  // by the slot's index
  std::set<uint32_t> lost_;               // named by an interface, and unknown: given to no other policy
  uint32_t looked_at_ = 0;                // the index at which the next sweep goes on
};

}  // namespace skerry::sandbox
