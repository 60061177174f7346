// Listening sockets that skerryd passes to its children: SKERRY_FDS="https=3,http=4".
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry {

// Takes over the descriptors named in SKERRY_FDS (made close-on-exec); empty without the variable. Call once, first thing in main.
Result<std::map<std::string, UniqueFd>> take_inherited_descriptors();

}  // namespace skerry
