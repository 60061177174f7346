// The system calls a container may make. Compiled to BPF once, by filler; loaded by both processes of a container before they are near a tenant.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "base/result.h"

namespace skerry::sandbox {

// Unknown calls answer ENOSYS (so that libc falls back), refused ones EPERM, foreign architectures kill the process.
Result<std::vector<sock_filter>> compile_seccomp_policy();
// Async-signal-safe; needs no_new_privs. False with errno.
bool load_seccomp_policy(const std::vector<sock_filter>& program);

}  // namespace skerry::sandbox
