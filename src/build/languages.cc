#include "build/languages.h"

namespace skerry {
namespace {

// The first of a language is its default.
const LanguageRecipe kRecipes[] = {
    {"python", "3.11", "python", "python-build"}, {"python", "3.13", "python313", "python313-build"}, {"node", "20", "node", "node-build"},
    {"go", "1.24", "go", "go-build"},             {"java", "17", "java", "java-build"},               {"java", "21", "java21", "java21-build"},
};

constexpr const char* kPythonEntries[] = {"function/func.py", "func.py", "main.py", "app.py"};

}  // namespace

Result<LanguageRecipe> find_recipe(std::string_view language, std::string_view version) {
  std::string known;
  for (const LanguageRecipe& recipe : kRecipes) {
    if (recipe.language != language) continue;
    if (version.empty() || recipe.version == version) return recipe;
    known += (known.empty() ? "" : ", ") + recipe.version;
  }
  if (known.empty()) return fail(ErrorCode::kInvalidArgument, "language `{}` is not served", language);
  return fail(ErrorCode::kInvalidArgument, "{} {} is not installed here; [runtime] version may be {}", language, version, known);
}

std::string python_entry(const ArchiveListing& listing) {
  for (const char* entry : kPythonEntries)
    if (listing.files.contains(entry)) return entry;
  return {};
}

Result<std::string> detect_language(const ArchiveListing& listing) {
  const auto has = [&](const char* file) { return listing.files.contains(file); };
  if (has("go.mod")) return std::string("go");
  if (has("pom.xml")) return std::string("java");
  if (has("package.json")) return std::string("node");
  if (has("pyproject.toml") || has("requirements.txt") || !python_entry(listing).empty()) return std::string("python");
  return fail(ErrorCode::kFunctionFailed,
              "detect: no known language: there is no pyproject.toml, requirements.txt or function/func.py (Python), package.json (Node.js), go.mod (Go) or "
              "pom.xml (Java) at the top of the project; add one, or set [runtime] language");
}

}  // namespace skerry
