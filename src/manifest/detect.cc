#include "manifest/detect.h"

#include <algorithm>

namespace skerry::manifest {
namespace {

struct Evidence {
  std::string_view file;
  Language language;
};

// By order of trust: a build file says more than a lone source file.
constexpr Evidence kEvidence[] = {
    {"pyproject.toml", Language::kPython},
    {"requirements.txt", Language::kPython},
    {"function/func.py", Language::kPython},
    {"package.json", Language::kNode},
    {"go.mod", Language::kGo},
    {"pom.xml", Language::kJava},
    {"func.py", Language::kPython},
    {"main.py", Language::kPython},
    {"app.py", Language::kPython},
};

}  // namespace

std::optional<Detected> detect_language(std::span<const std::string> files) {
  std::optional<Detected> out;
  for (const Evidence& e : kEvidence) {
    if (!std::binary_search(files.begin(), files.end(), e.file)) continue;
    if (!out)
      out = Detected{e.language, std::string(e.file), {}};
    else if (e.language != out->language)
      out->also_found.emplace_back(e.file);
  }
  return out;
}

std::string no_language_message() {
  return "no known language: a Python project has pyproject.toml, requirements.txt or function/func.py, a "
         "Node.js one package.json, a Go one go.mod, a Java one pom.xml; "
         "for a container image set language = \"image\" under [runtime]";
}

}  // namespace skerry::manifest
