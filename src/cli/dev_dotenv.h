// DotEnv: the values that a developer keeps in `.env` and `.env.local` beside the code. Used by `skerry dev`,
// which gives them to the function as secrets.
//
// NAME=value, a line each; blank lines and `#` comments; `export` before a name is passed over. A value is
// taken as it is written, without the blanks around it and without ` # a comment` behind it; 'single quotes'
// keep everything, "double quotes" know \n \r \t \" \\ and \$. Nothing is expanded or executed. What is no
// such line is refused by file and line: a value never appears in an error.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace skerry::cli {

inline constexpr size_t kMaxDotEnvBytes =
    1024 * 1024;  // all secrets that a function can have, at their largest
inline constexpr std::string_view kDotEnvNames[] = {".env", ".env.local"};  // a later one wins

using DotEnv = std::map<std::string, std::string>;

// `file` stands in errors. The last of two lines with one name wins.
Result<DotEnv> parse_dotenv(std::string_view text, std::string_view file);
// Both files of the folder, as far as they are there.
Result<DotEnv> read_dotenv(const std::string& folder);

}  // namespace skerry::cli
