// Which plans starter carries out, and for whom: exactly those that edge and control make. Called by starter for each plan that comes, after
// StartPlan::decode() found it well formed.
//
// SECURITY: edge reads hostile bytes. Whoever gets into it can start functions as they are deployed, and nothing that is larger, looks
// different or has other rights.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "contract/plan.h"
#include "contract/sandbox_messages.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

// Who is at the other end of a connection, by the kernel's word.
enum class Role : uint8_t { kEdge, kControl, kRoot };

// kForbidden names what this client may not ask for. Root may ask for every well-formed plan but a spare.
Result<void> check_plan(Role role, const StartPlan& plan, const Settings& settings);
// The same for lists of policies to keep slots of, and for orders of spares.
Result<void> check_policies(Role role);
Result<void> check_spares(Role role, const std::vector<SpareOrder>& orders, const Settings& settings);

}  // namespace skerry::sandbox
