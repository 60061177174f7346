// skerry rollback NAME REV: puts an earlier revision back into traffic.
#include "cli/session.h"

namespace skerry::cli {
namespace {

class RollbackVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "rollback"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Put an earlier revision back into traffic";
  }

  void declare(Command& command) override {
    command.argument("NAME", name_, "the function", Need::kRequired);
    command.argument("REV", revision_, "the revision: its number, tag or id", Need::kRequired);
    command.examples("skerry rollback orders 3\nskerry rollback orders k3f9a2c");
  }

  Outcome<Exit> run(Session& session) override {
    TRY_ASSIGN(Gateway* const gateway, session.gateway());
    auto answer =
        gateway->send("POST", function_path(name_, "/rollback"), json::object{{"revision", revision_}});
    if (!answer) {
      Failure failure = session.with_suggestion(std::move(answer.error()), name_);
      if (failure.exit == Exit::kNotFound && failure.hint.empty() &&
          failure.message.find("skerry revisions") == std::string::npos) {
        failure.hint = fmt::format("`skerry revisions {}` lists the revisions", name_);
      }
      return std::unexpected(std::move(failure));
    }
    const Terminal& t = session.terminal();
    if (session.json()) return t.print_json(*answer), Exit::kOk;
    const json::object& revision = object_at(answer->get_object(), "revision");
    t.note(fmt::format("{} {} is at revision {} ({})", t.styled_err(Style::kGreen, "ok"), visible(name_),
                       number_at(revision, "number"), visible(text_at(revision, "tag"))));
    t.print_line(visible(text_at(answer->get_object(), "url")));
    return Exit::kOk;
  }

 private:
  std::string name_;
  std::string revision_;
};

}  // namespace

std::unique_ptr<Verb> make_rollback_verb() {
  return std::make_unique<RollbackVerb>();
}

}  // namespace skerry::cli
