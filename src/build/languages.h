// What the stages of each language run inside their containers, and how a project of that language is known.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "build/archive.h"

namespace skerry {

struct LanguageRecipe {
  std::string language;
  std::string version;
  std::string run_image;
  std::string build_image;
};

// The recipe for a language and a version ("" for the default). kInvalidArgument names the versions that there are.
Result<LanguageRecipe> find_recipe(std::string_view language, std::string_view version);

// The language of a project by its files (CONTRACT section 2). kFunctionFailed names what was looked for.
Result<std::string> detect_language(const ArchiveListing& listing);

// The first of the entries that CONTRACT names for Python; "" when there is none.
[[nodiscard]] std::string python_entry(const ArchiveListing& listing);

}  // namespace skerry
