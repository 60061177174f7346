#include <CLI/CLI.hpp>

#include "cli/verb.h"

namespace skerry::cli {

void Command::argument(const std::string& name, std::string& into, const std::string& help, Need need) {
  CLI::Option* option = app_.add_option(name, into, help);
  option->type_name("");
  if (need == Need::kRequired) option->required();
}

void Command::flag(const std::string& names, bool& into, const std::string& help) {
  app_.add_flag(names, into, help);
}

void Command::option(const std::string& names, std::string& into, const std::string& help,
                     const std::string& value_name) {
  app_.add_option(names, into, help)->type_name(value_name);
}

void Command::option(const std::string& names, std::optional<std::string>& into, const std::string& help,
                     const std::string& value_name) {
  app_.add_option_function<std::string>(
          names, [&into](const std::string& value) { into = value; }, help)
      ->type_name(value_name);
}

void Command::repeated(const std::string& names, std::vector<std::string>& into, const std::string& help,
                       const std::string& value_name) {
  app_.add_option(names, into, help)->type_name(value_name)->allow_extra_args(false);
}

void Command::choices(const std::string& name, std::span<const std::string_view> words) {
  choices_[name].assign(words.begin(), words.end());
}

void Command::examples(const std::string& lines) {
  std::string footer = "Examples:\n";
  size_t at = 0;
  while (at < lines.size()) {
    const size_t end = std::min(lines.find('\n', at), lines.size());
    footer += "  " + lines.substr(at, end - at) + "\n";
    at = end + 1;
  }
  app_.footer(footer);
}

}  // namespace skerry::cli
