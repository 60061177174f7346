// skerry completion bash|zsh|fish: a script for the shell, made from the verbs as they are declared.
#include "cli/session.h"

namespace skerry::cli {
namespace {

std::string join(const std::vector<std::string>& words, std::string_view separator) {
  return fmt::format("{}", fmt::join(words, separator));
}

std::vector<std::string> first_words(const std::vector<VerbShape>& shapes) {
  std::vector<std::string> out;
  for (const VerbShape& s : shapes) {
    if (s.path.find(' ') == std::string::npos) out.push_back(s.path);
  }
  return out;
}

std::string escape_single(std::string text) {
  for (size_t at = text.find('\''); at != std::string::npos; at = text.find('\'', at + 4))
    text.replace(at, 1, "'\\''");
  return text;
}

std::string bash_script(const std::vector<VerbShape>& shapes) {
  std::string out =
      "# skerry completion for bash; put it into /etc/bash_completion.d/skerry, or: source <(skerry "
      "completion bash)\n"
      "_skerry() {\n"
      "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" verb=\"${COMP_WORDS[1]}\" words=\"\"\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W \"" +
      join(first_words(shapes), " ") +
      " --help --version\" -- \"$cur\"))\n"
      "    return\n"
      "  fi\n"
      "  case \"$verb ${COMP_WORDS[2]}\" in\n";
  for (const VerbShape& s : shapes) {
    if (s.path.find(' ') != std::string::npos)
      out += fmt::format("    '{}') words=\"{}\" ;;\n", s.path, join(s.options, " "));
  }
  for (const VerbShape& s : shapes) {
    if (s.path.find(' ') != std::string::npos) continue;
    std::vector<std::string> words = s.words;
    words.insert(words.end(), s.options.begin(), s.options.end());
    out += fmt::format("    '{} '*) words=\"{}\" ;;\n", s.path, join(words, " "));
  }
  out += "  esac\n";
  std::vector<std::string> takers;
  for (const VerbShape& s : shapes) {
    if (s.takes_function) takers.push_back(s.path);
  }
  out += fmt::format(
      "  if [ \"$COMP_CWORD\" -eq 2 ]; then\n    case \"$verb\" in\n      {}) words=\"$words $(skerry ls -q "
      "2>/dev/null)\" ;;\n    esac\n  fi\n",
      join(takers, "|"));
  out +=
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
      "  case \"$verb\" in ship|dev|init) COMPREPLY+=($(compgen -d -- \"$cur\")) ;; esac\n"
      "}\n"
      "complete -F _skerry skerry\n";
  return out;
}

std::string zsh_script(const std::vector<VerbShape>& shapes) {
  std::string out =
      "#compdef skerry\n"
      "# skerry completion for zsh; put it into a folder of $fpath as _skerry, or: source <(skerry "
      "completion zsh)\n"
      "_skerry() {\n"
      "  local -a verbs offer\n"
      "  verbs=(\n";
  for (const VerbShape& s : shapes) {
    std::string summary = s.summary;
    for (size_t at = summary.find(':'); at != std::string::npos; at = summary.find(':', at + 2))
      summary.replace(at, 1, "\\:");
    if (s.path.find(' ') == std::string::npos)
      out += fmt::format("    '{}:{}'\n", s.path, escape_single(summary));
  }
  out +=
      "  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe 'verb' verbs\n"
      "    return\n"
      "  fi\n"
      "  case \"${words[2]} ${words[3]}\" in\n";
  // `words` is zsh's own array of the command line; what is offered goes into `offer`.
  for (int pass_number = 0; pass_number < 2; ++pass_number) {
    for (const VerbShape& s : shapes) {
      const bool nested = s.path.find(' ') != std::string::npos;
      if (nested != (pass_number == 0)) continue;
      std::vector<std::string> offered = s.words;
      offered.insert(offered.end(), s.options.begin(), s.options.end());
      out += fmt::format("    '{}{}) offer=({}) ;;\n", s.path, nested ? "'" : " '*", join(offered, " "));
    }
  }
  std::vector<std::string> takers;
  for (const VerbShape& s : shapes) {
    if (s.takes_function) takers.push_back(s.path);
  }
  out += fmt::format(
      "  esac\n"
      "  if (( CURRENT == 3 )); then\n"
      "    case \"${{words[2]}}\" in\n"
      "      {}) offer+=(${{(f)\"$(skerry ls -q 2>/dev/null)\"}}) ;;\n"
      "      ship|dev|init) _files -/ ;;\n"
      "    esac\n"
      "  fi\n"
      "  compadd -- $offer\n"
      "}}\n"
      "if [ \"$funcstack[1]\" = _skerry ]; then _skerry \"$@\"; else compdef _skerry skerry; fi\n",
      join(takers, "|"));
  return out;
}

std::string fish_script(const std::vector<VerbShape>& shapes) {
  std::string out =
      "# skerry completion for fish; put it into ~/.config/fish/completions/skerry.fish\ncomplete -c skerry "
      "-f\n";
  for (const VerbShape& s : shapes) {
    const size_t space = s.path.find(' ');
    const std::string group = s.path.substr(0, space);
    const std::string word = space == std::string::npos ? s.path : s.path.substr(space + 1);
    if (space == std::string::npos)
      out += fmt::format("complete -c skerry -n __fish_use_subcommand -a {} -d '{}'\n", word,
                         escape_single(s.summary));
    else
      out += fmt::format(
          "complete -c skerry -n '__fish_seen_subcommand_from {}; and not __fish_seen_subcommand_from {}' -a "
          "{} -d '{}'\n",
          group, join({"set", "ls", "rm"}, " "), word, escape_single(s.summary));
    if (space == std::string::npos) {
      for (const std::string& option : s.options) {
        out += option.starts_with("--")
                   ? fmt::format("complete -c skerry -n '__fish_seen_subcommand_from {}' -l {}\n", word,
                                 option.substr(2))
                   : fmt::format("complete -c skerry -n '__fish_seen_subcommand_from {}' -s {}\n", word,
                                 option.substr(1));
      }
    }
    if (s.takes_function)
      out += fmt::format(
          "complete -c skerry -n '__fish_seen_subcommand_from {}' -a '(skerry ls -q 2>/dev/null)'\n", word);
    if (word == "ship" || word == "dev")
      out += fmt::format(
          "complete -c skerry -n '__fish_seen_subcommand_from {}' -a '(__fish_complete_directories)'\n",
          word);
  }
  return out;
}

class CompletionVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "completion"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Print a completion script for bash, zsh or fish";
  }

  void declare(Command& command) override {
    command.argument("SHELL", shell_, "bash, zsh or fish", Need::kRequired);
    command.examples(
        "source <(skerry completion bash)\nskerry completion fish > ~/.config/fish/completions/skerry.fish");
  }

  Outcome<Exit> run(Session& session) override {
    std::string script;
    if (shell_ == "bash")
      script = bash_script(session.shapes());
    else if (shell_ == "zsh")
      script = zsh_script(session.shapes());
    else if (shell_ == "fish")
      script = fish_script(session.shapes());
    else
      return usage_error("completion: `{}` is not one of bash, zsh, fish", shell_);
    if (session.json())
      session.terminal().print_json(json::object{{"shell", shell_}, {"script", script}});
    else
      session.terminal().print(script);
    return Exit::kOk;
  }

 private:
  std::string shell_;
};

}  // namespace

std::unique_ptr<Verb> make_completion_verb() {
  return std::make_unique<CompletionVerb>();
}

}  // namespace skerry::cli
