// How an Error looks to a caller of the API: the one mapping to a status and a stable code (docs/api.md).
#pragma once

#include <string_view>

#include "base/result.h"

namespace skerry {

struct ApiStatus {
  int status;
  std::string_view code;
};
[[nodiscard]] ApiStatus api_status(ErrorCode code);

}  // namespace skerry
