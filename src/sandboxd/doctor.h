// What this machine's kernel offers, probed by trying, for `skerry doctor`: one JSON line a feature.
#pragma once

#include "sandboxd/settings.h"

namespace skerry::sandbox {

// Prints the lines to standard output; 0 when everything that has no replacement is there.
int print_features(const Settings& settings);

}  // namespace skerry::sandbox
