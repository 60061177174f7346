// What is known of a project before any container runs: its language, its entry, and what its dependencies are decided by. Pure functions of
// the list of the upload's files and the text of its manifests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

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

// Whether the text of this file is wanted in the listing: what decides dependencies, in any language.
[[nodiscard]] bool is_manifest(std::string_view path);

// What the stage `deps` of a project has to do.
struct DependencyPlan {
  bool wanted = false;        // false: nothing is installed, no stage, no network
  bool with_source = false;   // more than the manifests decides (a local path, a lifecycle script): each change of the code installs again
  bool has_development = false;  // Node.js: some are for the build only
  std::vector<std::string> inputs;  // manifests, in the order of names
};
// kFunctionFailed for a manifest that cannot be read, naming it.
Result<DependencyPlan> plan_dependencies(std::string_view language, const ArchiveListing& listing);

}  // namespace skerry
