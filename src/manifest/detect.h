// Which language a project is written in, from the names of its files (CONTRACT section 2). Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "manifest/manifest.h"

namespace skerry::manifest {

struct Detected {
  Language language = Language::kPython;
  std::string evidence;                 // "package.json"
  std::vector<std::string> also_found;  // files that speak for another language
};

// `files`: paths relative to the project, sorted. Nothing for a project of no known language.
[[nodiscard]] std::optional<Detected> detect_language(std::span<const std::string> files);
// The sentence for a project of no known language.
[[nodiscard]] std::string no_language_message();

}  // namespace skerry::manifest
