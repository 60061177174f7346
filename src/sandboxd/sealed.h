// Sealed memfds, as clients of starter send what is longer than a message.
#pragma once

#include <string>

#include "base/result.h"

namespace skerry::sandbox {

// SECURITY: who asks may be taken over. Anything but a sealed memfd could be a pipe that blocks the loop for ever, or change while it is read.
Result<void> check_sealed(int fd);

// The whole file, wherever its offset stands.
Result<std::string> read_sealed(int fd, size_t max_bytes);

}  // namespace skerry::sandbox
