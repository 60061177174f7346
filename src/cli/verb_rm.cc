// skerry rm NAME: a function and all its revisions, gone.
#include <unistd.h>

#include <iostream>

#include "cli/session.h"

namespace skerry::cli {
namespace {

class RmVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "rm"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Remove a function and all its revisions";
  }

  void declare(Command& command) override {
    command.argument("NAME", name_, "the function", Need::kRequired);
    command.flag("-y,--yes", yes_, "do not ask (a terminal is asked, a script is not)");
    command.examples("skerry rm orders\nskerry rm orders --yes");
  }

  Outcome<Exit> run(Session& session) override {
    const Terminal& t = session.terminal();
    TRY_ASSIGN(Gateway* const gateway, session.gateway());
    if (!yes_ && !session.json() && ::isatty(STDIN_FILENO) == 1 && t.err_is_terminal()) {
      TRY_ASSIGN(const json::object function, session.function(name_));
      t.note(fmt::format("{} has {} revisions and answers at {}", visible(name_),
                         number_at(function, "revisions"), visible(text_at(function, "url"))));
      t.status("Remove it? Type its name: ");
      std::string typed;
      std::getline(std::cin, typed);
      if (typed != name_) return std::unexpected(Failure(Exit::kFailed, "cancelled", "nothing was removed"));
    }
    if (auto removed = gateway->remove(function_path(name_)); !removed)
      return std::unexpected(session.with_suggestion(std::move(removed.error()), name_));
    if (session.json())
      t.print_json(json::object{{"removed", name_}});
    else
      t.note(fmt::format("{} {} is removed", t.styled_err(Style::kGreen, "ok"), visible(name_)));
    return Exit::kOk;
  }

 private:
  std::string name_;
  bool yes_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_rm_verb() {
  return std::make_unique<RmVerb>();
}

}  // namespace skerry::cli
