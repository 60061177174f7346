// Making and entering namespaces. Single-threaded processes only: setns() and unshare() act on the calling thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry::sandbox {

// A user namespace in which ids [inside, inside + count) are [outside, ..) of the host, made by user `outside`; lives as long as the descriptor.
Result<UniqueFd> make_user_namespace(uint32_t inside, uint32_t outside, uint32_t count);

// A fresh network namespace.
Result<UniqueFd> make_net_namespace();
// Runs `work` inside a network namespace and comes back, whatever `work` says.
Result<void> in_net_namespace(int net_namespace, const std::function<Result<void>()>& work);

Result<void> write_text(const std::string& path, std::string_view text);

}  // namespace skerry::sandbox
