// The one nft table of Skerry: what containers may reach. Loaded whole in one transaction when filler starts, with the egress policies of what lives;
// after that filler adds a chain for each policy and an element for each slot of one (policies.h). Nothing is committed per start.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "contract/egress.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

// Slots with an egress policy: the policies by the number in their chains' names, and which one holds for the slot of an index.
struct HeldSlots {
  std::map<uint32_t, EgressPolicy> policies;
  std::map<uint32_t, uint32_t> slots;
};
// The table as nft text.
[[nodiscard]] std::string firewall_rules(const Settings& settings, const HeldSlots& held = {});
// The rules of a policy's chain. What they let through goes on to the rules that hold for everyone, but for closed ranges that the operator opened.
[[nodiscard]] std::string policy_rules(const EgressPolicy& policy, const std::vector<EgressRule>& open);
// The chain of a policy, and the element that leads a slot's address there.
[[nodiscard]] std::string policy_chain(uint32_t number);
[[nodiscard]] std::string policy_element(const Settings& settings, uint32_t index, uint32_t number);
Result<void> load_firewall(const Settings& settings, const HeldSlots& held);
// Commands of nft, carried out together or not at all.
Result<void> run_nft(const std::string& commands);
// No error when it is not there.
Result<void> remove_firewall(const Settings& settings);

}  // namespace skerry::sandbox
