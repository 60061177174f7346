// Reading a value that must not be shown: standard input, a file, or a prompt without echo. Never the command
// line.
#pragma once

#include <string>

#include "cli/exit.h"
#include "cli/terminal.h"

namespace skerry::cli {

enum class NewlineAtEnd { kKeep, kDropOne };

// Asks on the terminal with echo off (restored on every way out), or reads standard input to its end where
// that is no terminal.
Outcome<std::string> read_hidden(const Terminal& terminal, const std::string& prompt, size_t max_bytes);
// "-" is standard input.
Outcome<std::string> read_value_file(const std::string& path, size_t max_bytes, NewlineAtEnd newline);

}  // namespace skerry::cli
