// A flat TOML file of strings: the CLI's own configuration. Pure; unknown keys and other types are refused
// with line and fix.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace skerry::manifest {

// `known` names the keys; the result holds those that are there.
Result<std::map<std::string, std::string>> parse_settings(std::string_view text, std::string_view file,
                                                          std::span<const std::string_view> known);

}  // namespace skerry::manifest
