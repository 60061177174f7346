// BuildResult as the store keeps it, so that a config-only change needs no build.
#pragma once

#include "build/builder.h"
#include "json/json.h"

namespace skerry {

[[nodiscard]] std::string artifact_to_json(const BuildResult& artifact);
Result<BuildResult> artifact_from_json(std::string_view text);

}  // namespace skerry
