// The location's key on disk: `location.key` (0600, ours) and `location.pub` (0644, base64, for control),
// made at the first start.
#pragma once

#include <string>

#include "base/result.h"
#include "crypto/seal.h"

namespace skerry::keeper {

// `directory` is made (0711) where it is missing. A key file that others can read, or that fails its
// checksum, is an error and is never replaced: what was sealed to it would be lost. The public half is
// written again where it is missing or another.
Result<LocationKeypair> load_or_make_location_key(const std::string& directory);

}  // namespace skerry::keeper
