// The one nft table of Skerry: what containers may reach. Loaded whole in one transaction when filler starts; nothing is committed per start.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

// The host's first resolver that a packet can be sent to (not loopback), "" when there is none.
[[nodiscard]] std::string usable_resolver(std::string_view resolv_conf);
// The table as nft text. `resolver` may be "".
[[nodiscard]] std::string firewall_rules(const Settings& settings, const std::string& resolver);
Result<void> load_firewall(const Settings& settings);
// No error when it is not there.
Result<void> remove_firewall(const Settings& settings);

}  // namespace skerry::sandbox
