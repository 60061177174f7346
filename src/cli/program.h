// The program `skerry`: parses the command line, runs one verb, turns its outcome into words and an exit
// code.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "cli/verb.h"

namespace skerry::cli {

// Never throws. Called once, by main.
int run_program(int argc, char** argv);

[[nodiscard]] std::vector<std::unique_ptr<Verb>> make_verbs();

}  // namespace skerry::cli
