// skerry get NAME: one function: where it answers, what is in traffic, how its last start went.
#include "cli/session.h"

namespace skerry::cli {
namespace {

std::string value_text(const json::value& v) {
  return visible(v.is_string() ? std::string(v.get_string()) : json::serialize(v));
}

class GetVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "get"; }
  [[nodiscard]] std::string_view summary() const override { return "Show one function"; }

  void declare(Command& command) override {
    command.argument("NAME", name_, "the function (default: the one this folder is linked to)",
                     Need::kOptional);
    command.examples("skerry get orders\nskerry get orders --json | jq .config.memory_mb");
  }

  Outcome<Exit> run(Session& session) override {
    TRY_ASSIGN(name_, session.function_name(name_));
    TRY_ASSIGN(const json::object function, session.function(name_));
    const Terminal& t = session.terminal();
    if (session.json()) return t.print_json(function), Exit::kOk;
    const json::object& revision = object_at(function, "revision");
    const json::object& instances = object_at(function, "instances");
    line(t, "name", text_at(function, "name"));
    line(t, "id", text_at(function, "id"));
    line(t, "url", text_at(function, "url"));
    line(t, "revision",
         revision.empty()
             ? fmt::format("none in traffic yet, {} kept; `skerry revisions` says why",
                           number_at(function, "revisions"))
             : fmt::format("{} ({}), {}, {} kept", number_at(revision, "number"), text_at(revision, "tag"),
                           text_at(revision, "language"), number_at(function, "revisions")));
    if (const std::string image = text_at(revision, "image"); !image.empty()) line(t, "image", image);
    if (!revision.empty()) line(t, "digest", text_at(revision, "digest"));
    line(t, "updated",
         fmt::format("{} ({})", text_at(function, "updated_at"),
                     age(text_at(function, "updated_at"), session.clock().wall_ms())));
    line(t, "instances",
         fmt::format("{} idle, {} busy, {} starting, {} frozen", number_at(instances, "idle"),
                     number_at(instances, "busy"), number_at(instances, "starting"),
                     number_at(instances, "frozen")));
    if (const json::object& start = object_at(function, "last_start"); !start.empty()) {
      std::string phases;
      for (const auto& phase : object_at(start, "phases"))
        phases += fmt::format("{}{} {}", phases.empty() ? "" : ", ", std::string_view(phase.key()),
                              value_text(phase.value()));
      line(t, "last start",
           fmt::format("{} {}{}{}", text_at(start, "mode"),
                       age(text_at(start, "at"), session.clock().wall_ms()), phases.empty() ? "" : ": ",
                       phases));
    }
    for (const auto& item : object_at(function, "config")) {
      if (item.value().is_null()) continue;
      // An environment may hold what its author would not show on a shared screen: names only here, values
      // with --json.
      if (item.key() == "env" && item.value().is_object()) {
        std::string names;
        for (const auto& variable : item.value().get_object())
          names += (names.empty() ? "" : ", ") + std::string(variable.key());
        if (!names.empty()) line(t, "env", names);
        continue;
      }
      line(t, std::string(item.key()), value_text(item.value()));
    }
    return Exit::kOk;
  }

 private:
  static void line(const Terminal& t, const std::string& name, const std::string& value) {
    t.print_line(fmt::format("{} {}", t.styled_out(Style::kDim, fmt::format("{:<17}", visible(name))),
                             visible(value)));
  }
  std::string name_;
};

}  // namespace

std::unique_ptr<Verb> make_get_verb() {
  return std::make_unique<GetVerb>();
}

}  // namespace skerry::cli
