// skerry ship: check a project, upload it, build and start it, say where it answers.
#include <algorithm>
#include <deque>

#include "cli/project.h"
#include "cli/session.h"
#include "cli/ship_flow.h"
#include "manifest/runtime_keys.h"

namespace skerry::cli {
namespace {

class ShipVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "ship"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Build a project and put it into traffic";
  }

  void declare(Command& command) override {
    command.argument("DIR", project_.directory, "the project's folder (default: this one)", Need::kOptional);
    command.flag("--check", check_, "only validate, and list what would be uploaded");
    command.flag("--config-only", config_only_,
                 "keep the shipped code; change environment, limits and secrets");
    command.option("--name", project_.name, "the function's name, instead of the manifest's", "NAME");
    for (const manifest::RuntimeKey& key : manifest::runtime_keys()) {
      std::string option = "--" + std::string(key.name);
      std::replace(option.begin(), option.end(), '_', '-');
      auto& [name, value] = values_.emplace_back(key.name, std::nullopt);
      command.option(option, value, std::string(key.help), "VALUE");
      if (const auto words = manifest::words_of(key.kind); !words.empty()) command.choices(option, words);
    }
    command.examples(
        "skerry ship\n"
        "skerry ship ./orders --memory 512MB --timeout 10s\n"
        "skerry ship --check\n"
        "skerry ship --config-only --max-instances 20");
  }

  Outcome<Exit> run(Session& session) override {
    for (const auto& [name, value] : values_) {
      if (value) project_.runtime.emplace_back(name, *value);
    }
    TRY_ASSIGN(const Project project, load_project(project_));
    if (check_) return check(session, project);
    TRY(report_diagnostics(session, project));
    ShipFlow flow(session);
    TRY_ASSIGN(const json::object done,
               flow.ship(project, config_only_ ? ShipCode::kKeep : ShipCode::kUpload));
    return print(session, project, done, flow.warnings());
  }

 private:
  Outcome<Exit> check(Session& session, const Project& project) const {
    const Terminal& t = session.terminal();
    const bool ok = project.parsed.ok();
    if (session.json()) {
      json::array files;
      for (const manifest::SelectedEntry& e : project.selection.entries) {
        if (e.kind != manifest::EntryKind::kDirectory)
          files.push_back(json::object{{"path", e.path}, {"bytes", e.size_bytes}});
      }
      json::object out{
          {"ok", ok}, {"function", project.manifest().func_name}, {"manifest", project.manifest_name}};
      out["language"] = project.manifest().runtime.language
                            ? json::value(manifest::to_string(*project.manifest().runtime.language))
                            : json::value(nullptr);
      out["files"] = std::move(files);
      out["bytes"] = project.selection.total_bytes;
      out["diagnostics"] = diagnostics_json(project);
      t.print_json(out);
      return ok ? Exit::kOk : Exit::kUsage;
    }
    print_diagnostics(t, project);
    for (const manifest::SelectedEntry& e : project.selection.entries) {
      if (e.kind == manifest::EntryKind::kFile)
        t.print_line(fmt::format("{:>10}  {}", format_bytes(e.size_bytes), visible(e.path)));
      if (e.kind == manifest::EntryKind::kSymlink)
        t.print_line(fmt::format("{:>10}  {} -> {}", "link", visible(e.path), visible(e.link_target)));
    }
    if (!ok)
      return std::unexpected(Failure(Exit::kUsage, "invalid_project",
                                     "the project cannot be shipped as it is", "see the errors above"));
    t.print_line(fmt::format("{} ({}): {} files, {}; nothing was uploaded", project.manifest().func_name,
                             manifest::to_string(*project.manifest().runtime.language),
                             project.selection.file_paths().size(),
                             format_bytes(project.selection.total_bytes)));
    return Exit::kOk;
  }

  static Outcome<Exit> print(Session& session, const Project& project, const json::object& done,
                             const std::vector<std::string>& warnings) {
    const Terminal& t = session.terminal();
    if (session.json()) {
      json::object out = done;
      out.erase("event");
      json::array list = diagnostics_json(project);
      for (const std::string& w : warnings)
        list.push_back(json::object{{"severity", "warning"}, {"message", w}});
      out["warnings"] = std::move(list);
      t.print_json(out);
      return Exit::kOk;
    }
    const json::object& revision = object_at(done, "revision");
    t.note(fmt::format("{} {} revision {} ({}) in {}", t.styled_err(Style::kGreen, "ok"),
                       visible(project.manifest().func_name), number_at(revision, "number"),
                       visible(text_at(revision, "tag")), format_ms(number_at(done, "ms"))));
    t.print_line(visible(text_at(done, "url")));
    return Exit::kOk;
  }

  ProjectOptions project_;
  bool check_ = false;
  bool config_only_ = false;
  std::deque<std::pair<std::string, std::optional<std::string>>>
      values_;  // addresses stay: the parser writes into them
};

}  // namespace

std::unique_ptr<Verb> make_ship_verb() {
  return std::make_unique<ShipVerb>();
}

}  // namespace skerry::cli
