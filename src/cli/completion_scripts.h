// The scripts that complete `skerry ...` in a shell, made from the verbs as they are declared: verbs, options, what an option or argument may be,
// names of functions (asked of the gateway), folders and files.
//
// Pure text. Called by verb_completion.cc. What a user typed is only ever compared, never executed.
#pragma once

#include <string>
#include <vector>

#include "cli/verb.h"

namespace skerry::cli {

[[nodiscard]] std::string bash_script(const std::vector<VerbShape>& shapes);
[[nodiscard]] std::string zsh_script(const std::vector<VerbShape>& shapes);
[[nodiscard]] std::string fish_script(const std::vector<VerbShape>& shapes);

}  // namespace skerry::cli
