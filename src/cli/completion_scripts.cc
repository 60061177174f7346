#include "cli/completion_scripts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace skerry::cli {
namespace {

constexpr std::string_view kFunctionNames = "$(skerry ls -q 2>/dev/null)";

bool is_nested(const VerbShape& s) { return s.path.find(' ') != std::string::npos; }
bool is_group(const VerbShape& s) { return !s.words.empty(); }
std::string group_of(const VerbShape& s) { return s.path.substr(0, s.path.find(' ')); }
std::string last_word(const VerbShape& s) { return s.path.substr(s.path.find(' ') + 1); }
std::string join(const std::vector<std::string>& words, std::string_view separator) { return fmt::format("{}", fmt::join(words, separator)); }

template <class Keep>
std::vector<std::string> paths(const std::vector<VerbShape>& shapes, Keep keep) {
  std::vector<std::string> out;
  for (const VerbShape& s : shapes)
    if (keep(s)) out.push_back(s.path);
  return out;
}

std::string escape_single(std::string text) {
  for (size_t at = text.find('\''); at != std::string::npos; at = text.find('\'', at + 4)) text.replace(at, 1, "'\\''");
  return text;
}

// 'init --lang'|'init -l'
std::vector<std::string> keys_of(const VerbShape& s, const ValueShape& value) {
  std::vector<std::string> out;
  for (const std::string& name : value.names) out.push_back(fmt::format("'{} {}'", s.path, name));
  return out;
}

std::vector<std::string> keys_of_valued(const std::vector<VerbShape>& shapes) {
  std::vector<std::string> out;
  for (const VerbShape& s : shapes)
    for (const ValueShape& value : s.valued) {
      const auto keys = keys_of(s, value);
      out.insert(out.end(), keys.begin(), keys.end());
    }
  return out;
}

// ---- bash

// The commands that offer it, in one line.
std::string bash_offer(const ValueShape& value) {
  switch (value.offer) {
    case Offer::kNothing: return ":";
    case Offer::kWords: return fmt::format("words=\"{} $words\"", join(value.words, " "));
    case Offer::kFunctions: return fmt::format("words=\"{} $words\"", kFunctionNames);
    case Offer::kFolders: return "paths=-d";
    case Offer::kFiles: return "paths=-f";
  }
  return ":";
}

// ---- zsh

std::string zsh_offer(const ValueShape& value) {
  switch (value.offer) {
    case Offer::kNothing: return ":";
    case Offer::kWords: return fmt::format("offer+=({})", join(value.words, " "));
    case Offer::kFunctions: return fmt::format("offer+=(${{(f)\"{}\"}})", kFunctionNames);
    case Offer::kFolders: return "_files -/";
    case Offer::kFiles: return "_files";
  }
  return ":";
}

// ---- fish

std::string fish_offer(const ValueShape& value) {
  switch (value.offer) {
    case Offer::kNothing: return "";
    case Offer::kWords: return join(value.words, " ");
    case Offer::kFunctions: return "(skerry ls -q 2>/dev/null)";
    case Offer::kFolders: return "(__fish_complete_directories)";
    case Offer::kFiles: return "(__fish_complete_path)";
  }
  return "";
}

std::string fish_seen(const VerbShape& s) {
  if (!is_nested(s)) return "__fish_seen_subcommand_from " + s.path;
  return fmt::format("__fish_seen_subcommand_from {}; and __fish_seen_subcommand_from {}", group_of(s), last_word(s));
}

}  // namespace

std::string bash_script(const std::vector<VerbShape>& shapes) {
  const auto groups = paths(shapes, is_group), first = paths(shapes, [](const VerbShape& s) { return !is_nested(s); });
  const auto valued = keys_of_valued(shapes);
  std::string out = fmt::format(R"(# skerry completion for bash; put it into /etc/bash_completion.d/skerry, or: source <(skerry completion bash)
_skerry() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" verb="${{COMP_WORDS[1]}}" words="" paths="" first=2 position=1 i
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{} --help --version" -- "$cur"))
    return
  fi
  case "$verb" in
    {}) if [ "$COMP_CWORD" -gt 2 ]; then verb="$verb ${{COMP_WORDS[2]}}" first=3; fi ;;
  esac
  # bash cuts --lang=go into three words.
  if [ "$cur" = = ]; then cur=""; elif [ "$prev" = = ]; then prev="${{COMP_WORDS[COMP_CWORD-2]}}"; fi
  case "$verb $prev" in
)",
                                join(first, " "), join(groups, "|"));
  for (const VerbShape& s : shapes)
    for (const ValueShape& value : s.valued)
      if (value.offer != Offer::kNothing) out += fmt::format("    {}) {} ;;\n", join(keys_of(s, value), "|"), bash_offer(value));
  out += fmt::format(R"(  esac
  case "$verb $prev" in
    {}) ;;
    *)
      for ((i = first; i < COMP_CWORD; i++)); do
        case "$verb ${{COMP_WORDS[i]}}" in
          {}) i=$((i + 1)); if [ "${{COMP_WORDS[i]}}" = = ]; then i=$((i + 1)); fi ;;
          "$verb -"*) ;;
          *) position=$((position + 1)) ;;
        esac
      done
      case "$verb" in
)",
                     join(valued, "|"), join(valued, "|"));
  for (const VerbShape& s : shapes) out += fmt::format("        '{}') words=\"{}{}{}\" ;;\n", s.path, join(s.words, " "), is_group(s) ? " " : "", join(s.options, " "));
  out += "      esac\n      case \"$verb $position\" in\n";
  for (const VerbShape& s : shapes)
    for (size_t n = 0; n < s.arguments.size(); ++n)
      if (s.arguments[n].offer != Offer::kNothing) out += fmt::format("        '{} {}') {} ;;\n", s.path, n + 1, bash_offer(s.arguments[n]));
  out += R"(      esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [ -n "$paths" ]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r i; do COMPREPLY+=("$i"); done < <(compgen "$paths" -- "$cur")
  fi
}
complete -F _skerry skerry
)";
  return out;
}

std::string zsh_script(const std::vector<VerbShape>& shapes) {
  std::string out =
      "#compdef skerry\n"
      "# skerry completion for zsh; put it into a folder of $fpath as _skerry, or: source <(skerry completion zsh)\n"
      "_skerry() {\n"
      "  local -a verbs offer\n"
      "  local verb=${words[2]} prev=${words[CURRENT-1]} first=3 position=1 i\n"
      "  verbs=(\n";
  for (const VerbShape& s : shapes) {
    std::string summary = s.summary;
    for (size_t at = summary.find(':'); at != std::string::npos; at = summary.find(':', at + 2)) summary.replace(at, 1, "\\:");
    if (!is_nested(s)) out += fmt::format("    '{}:{}'\n", s.path, escape_single(summary));
  }
  const auto valued = keys_of_valued(shapes);
  out += fmt::format(R"(  )
  if (( CURRENT == 2 )); then
    _describe 'verb' verbs
    return
  fi
  case $verb in
    {}) if (( CURRENT > 3 )); then verb="$verb ${{words[3]}}" first=4; fi ;;
  esac
  if [[ ${{words[CURRENT]}} == --*=* ]]; then
    prev=${{words[CURRENT]%%=*}}
    compset -P 1 '*='
  fi
  case "$verb $prev" in
)",
                     join(paths(shapes, is_group), "|"));
  for (const VerbShape& s : shapes)
    for (const ValueShape& value : s.valued) out += fmt::format("    {}) {} ;;\n", join(keys_of(s, value), "|"), zsh_offer(value));
  out += fmt::format(R"(    *)
      for ((i = first; i < CURRENT; i++)); do
        case "$verb ${{words[i]}}" in
          {}) i=$((i + 1)) ;;
          "$verb -"*) ;;
          *) position=$((position + 1)) ;;
        esac
      done
      case $verb in
)",
                     join(valued, "|"));
  for (const VerbShape& s : shapes) out += fmt::format("        '{}') offer=({}{}{}) ;;\n", s.path, join(s.words, " "), is_group(s) ? " " : "", join(s.options, " "));
  out += "      esac\n      case \"$verb $position\" in\n";
  for (const VerbShape& s : shapes)
    for (size_t n = 0; n < s.arguments.size(); ++n)
      if (s.arguments[n].offer != Offer::kNothing) out += fmt::format("        '{} {}') {} ;;\n", s.path, n + 1, zsh_offer(s.arguments[n]));
  out += R"(      esac ;;
  esac
  compadd -- $offer
}
if [ "$funcstack[1]" = _skerry ]; then _skerry "$@"; else compdef _skerry skerry; fi
)";
  return out;
}

std::string fish_script(const std::vector<VerbShape>& shapes) {
  std::string out = "# skerry completion for fish; put it into ~/.config/fish/completions/skerry.fish\ncomplete -c skerry -f\n";
  for (const VerbShape& s : shapes) {
    if (is_nested(s)) {
      const auto siblings = std::find_if(shapes.begin(), shapes.end(), [&](const VerbShape& other) { return other.path == group_of(s); });
      out += fmt::format("complete -c skerry -n '__fish_seen_subcommand_from {}; and not __fish_seen_subcommand_from {}' -a {} -d '{}'\n", group_of(s),
                         siblings == shapes.end() ? "" : join(siblings->words, " "), last_word(s), escape_single(s.summary));
    } else {
      out += fmt::format("complete -c skerry -n __fish_use_subcommand -a {} -d '{}'\n", s.path, escape_single(s.summary));
    }
    std::vector<std::string> flags = s.options;
    for (const ValueShape& value : s.valued) {
      std::string names;
      for (const std::string& name : value.names) {
        names += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
        std::erase(flags, name);
      }
      out += fmt::format("complete -c skerry -n '{}'{} -x{}\n", fish_seen(s), names, value.offer == Offer::kNothing ? "" : fmt::format(" -a '{}'", fish_offer(value)));
    }
    for (const std::string& flag : flags)
      out += fmt::format("complete -c skerry -n '{}' {}\n", fish_seen(s), flag.starts_with("--") ? "-l " + flag.substr(2) : "-s " + flag.substr(1));
    const size_t before = is_nested(s) ? 3 : 2;
    for (size_t n = 0; n < s.arguments.size(); ++n)
      if (s.arguments[n].offer != Offer::kNothing)
        out += fmt::format("complete -c skerry -n '{}; and test (count (commandline -opc | string match -v -- \"-*\")) -eq {}' -a '{}'\n", fish_seen(s), before + n, fish_offer(s.arguments[n]));
  }
  return out;
}

}  // namespace skerry::cli
