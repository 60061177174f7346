// Diagnostic: one thing wrong with (or notable in) a manifest, with the place and what to write instead.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "json/json.h"

namespace skerry::manifest {

enum class Severity { kError, kWarning };

struct Diagnostic {
  Severity severity = Severity::kError;
  std::string file;   // "func.toml"; for a value of the command line its option
  uint32_t line = 0;  // 0: the whole file
  std::string key;    // "runtime.memory"; "" where no key is meant
  std::string message;
  std::string fix;  // what to write instead; "" where the message says it all
};

using Diagnostics = std::vector<Diagnostic>;

[[nodiscard]] bool has_errors(const Diagnostics& diagnostics);
// "func.toml:7: error: runtime.memroy: unknown key\n  fix: did you mean `memory`?"
[[nodiscard]] std::string to_text(const Diagnostic& diagnostic);
[[nodiscard]] json::object to_json(const Diagnostic& diagnostic);

}  // namespace skerry::manifest
