#include "crypto/sodium_ready.h"

#include <sodium.h>

#include <cstdlib>

namespace skerry {

void require_sodium() {
  // Fails only where the kernel has no random numbers; a process without them must not make a key.
  static const bool ready = sodium_init() >= 0;
  if (!ready) std::abort();
}

}  // namespace skerry
