// The one nft table of Skerry: what containers may reach. Loaded whole in one transaction when filler starts; nothing is committed per start.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

// The table as nft text.
[[nodiscard]] std::string firewall_rules(const Settings& settings);
Result<void> load_firewall(const Settings& settings);
// No error when it is not there.
Result<void> remove_firewall(const Settings& settings);

}  // namespace skerry::sandbox
