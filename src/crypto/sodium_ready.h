// Internal to crypto/: libsodium is initialised before its first use, by whichever thread comes first.
#pragma once

namespace skerry {

void require_sodium();

}  // namespace skerry
