// The files that `skerry init` writes: src/cli/templates/<lang>/, put into the program at build time
// (templates.cmake).
#pragma once

#include <span>
#include <string_view>

namespace skerry::cli {

struct TemplateFile {
  std::string_view language;  // "python", "node", "ts", "go", "java"
  std::string_view path;      // "src/index.ts"; `gitignore` stands for .gitignore
  std::string_view text;      // with {{name}} where the function's name goes
};

// Defined in the generated file.
[[nodiscard]] std::span<const TemplateFile> template_files();

}  // namespace skerry::cli
