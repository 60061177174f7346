// skerry revisions NAME: what was shipped, newest first; the one in traffic is marked.
#include "cli/session.h"

namespace skerry::cli {
namespace {

class RevisionsVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "revisions"; }
  [[nodiscard]] std::string_view summary() const override { return "List the revisions of a function"; }

  void declare(Command& command) override {
    command.argument("NAME", name_, "the function (default: the one this folder is linked to)",
                     Need::kOptional);
    command.examples(
        "skerry revisions orders\nskerry rollback orders \"$(skerry revisions orders --json | jq -r "
        "'.revisions[1].tag')\"");
  }

  Outcome<Exit> run(Session& session) override {
    TRY_ASSIGN(name_, session.function_name(name_));
    TRY_ASSIGN(Gateway* const gateway, session.gateway());
    auto answer = gateway->get(function_path(name_, "/revisions"));
    if (!answer) return std::unexpected(session.with_suggestion(std::move(answer.error()), name_));
    const Terminal& t = session.terminal();
    if (session.json()) return t.print_json(*answer), Exit::kOk;
    std::vector<std::vector<std::string>> rows = {
        {"", "NUMBER", "TAG", "STATE", "LANGUAGE", "SIZE", "CREATED", "URL, OR WHY IT FAILED"}};
    for (const json::value& item : array_at(answer->get_object(), "revisions")) {
      if (!item.is_object()) continue;
      const json::object& r = item.get_object();
      const json::value* active = r.if_contains("active");
      rows.push_back({active != nullptr && active->is_bool() && active->get_bool() ? "*" : " ",
                      fmt::format("{}", number_at(r, "number")), visible(text_at(r, "tag")),
                      visible(text_at(r, "state")), visible(text_at(r, "language")),
                      format_bytes(static_cast<uint64_t>(number_at(r, "size"))),
                      age(text_at(r, "created_at"), session.clock().wall_ms()),
                      // What never ran has no address; why it did not is what its author looks for.
                      visible(text_at(r, text_at(r, "state") == "failed" ? "error" : "url"))});
    }
    t.print_table(rows);
    return Exit::kOk;
  }

 private:
  std::string name_;
};

}  // namespace

std::unique_ptr<Verb> make_revisions_verb() {
  return std::make_unique<RevisionsVerb>();
}

}  // namespace skerry::cli
