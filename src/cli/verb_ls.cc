// skerry ls: the functions of the gateway.
#include "cli/session.h"

namespace skerry::cli {
namespace {

class LsVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "ls"; }
  [[nodiscard]] std::string_view summary() const override { return "List the functions"; }

  void declare(Command& command) override {
    command.flag("-q,--quiet", quiet_, "names only");
    command.examples("skerry ls\nskerry ls --json | jq -r '.functions[].url'");
  }

  Outcome<Exit> run(Session& session) override {
    TRY_ASSIGN(Gateway* const gateway, session.gateway());
    TRY_ASSIGN(const json::value answer, gateway->get("/v1/functions"));
    const Terminal& t = session.terminal();
    if (session.json()) return t.print_json(answer), Exit::kOk;
    const json::array& functions = array_at(answer.get_object(), "functions");
    if (quiet_) {
      for (const json::value& f : functions) {
        if (f.is_object()) t.print_line(visible(text_at(f.get_object(), "name")));
      }
      return Exit::kOk;
    }
    if (functions.empty())
      return t.note("nothing is shipped yet; `skerry init --lang python hello` makes a first project"),
             Exit::kOk;
    std::vector<std::vector<std::string>> rows = {
        {"NAME", "LANGUAGE", "REVISION", "INSTANCES", "UPDATED", "URL"}};
    for (const json::value& item : functions) {
      if (!item.is_object()) continue;
      const json::object& f = item.get_object();
      const json::object& revision = object_at(f, "revision");
      const json::object& instances = object_at(f, "instances");
      rows.push_back(
          {visible(text_at(f, "name")), visible(text_at(revision, "language")),
           revision.empty()
               ? "none yet"
               : fmt::format("{} ({})", number_at(revision, "number"), visible(text_at(revision, "tag"))),
           fmt::format("{}", number_at(instances, "idle") + number_at(instances, "busy") +
                                 number_at(instances, "starting") + number_at(instances, "frozen")),
           age(text_at(f, "updated_at"), session.clock().wall_ms()), visible(text_at(f, "url"))});
    }
    t.print_table(rows);
    return Exit::kOk;
  }

 private:
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_ls_verb() {
  return std::make_unique<LsVerb>();
}

}  // namespace skerry::cli
