// skerry completion bash|zsh|fish: a script for the shell, made from the verbs as they are declared.
#include "cli/completion_scripts.h"
#include "cli/session.h"

namespace skerry::cli {
namespace {

constexpr std::string_view kShells[] = {"bash", "zsh", "fish"};

class CompletionVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "completion"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Print a completion script for bash, zsh or fish";
  }

  void declare(Command& command) override {
    command.argument("SHELL", shell_, "bash, zsh or fish", Need::kRequired);
    command.choices("SHELL", kShells);
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
