#include "cli/ship_flow.h"

#include "cli/pack.h"

namespace skerry::cli {

void print_diagnostics(const Terminal& terminal, const Project& project) {
  for (const manifest::Diagnostic& d : project.parsed.diagnostics) {
    terminal.note(terminal.styled_err(d.severity == manifest::Severity::kError ? Style::kRed : Style::kYellow,
                                      visible_lines(manifest::to_text(d))));
  }
  for (const std::string& warning : project.selection.warnings) terminal.warn(visible(warning));
}

json::array diagnostics_json(const Project& project) {
  json::array out;
  for (const manifest::Diagnostic& d : project.parsed.diagnostics) out.push_back(manifest::to_json(d));
  for (const std::string& warning : project.selection.warnings)
    out.push_back(json::object{{"severity", "warning"}, {"message", warning}});
  return out;
}

Outcome<> report_diagnostics(const Session& session, const Project& project) {
  if (!session.json()) print_diagnostics(session.terminal(), project);
  if (project.parsed.ok()) return {};
  Failure failure(Exit::kUsage, "invalid_project", "the project cannot be shipped as it is",
                  session.json() ? "" : "see the errors above; nothing was uploaded");
  failure.details["diagnostics"] = diagnostics_json(project);
  return std::unexpected(std::move(failure));
}

Outcome<manifest::Source> ShipFlow::source_of(const Project& project, ShipCode code) {
  if (code == ShipCode::kKeep) return manifest::Source(manifest::CurrentSource{});
  if (project.is_image_reference())
    return manifest::Source(manifest::ImageSource{*project.manifest().runtime.image});
  TRY_ASSIGN(Gateway* const gateway, session_.gateway());
  progress_.begin("pack");
  TRY_ASSIGN(const Package package, pack(project.source_root, project.selection));
  progress_.done("pack", fmt::format("{} files, {}", project.selection.file_paths().size(),
                                     format_bytes(project.selection.total_bytes)));
  progress_.begin("upload");
  TRY_ASSIGN(const Gateway::Upload upload,
             gateway->upload(
                 package.fd.get(), package.bytes, package.digest,
                 [this](uint64_t sent, uint64_t total) { progress_.uploaded(sent, total); }, cancel_));
  progress_.done("upload", format_bytes(package.bytes));
  return manifest::Source(manifest::UploadSource{upload.digest});
}

namespace {

// The gateway says why; here it is said of what, and where the rest of the log is.
Failure explain(Failure failure, const std::string& name) {
  if (failure.code == "build_failed")
    failure.message = fmt::format("`{}` was not built: {}", name, failure.message);
  if (failure.code == "start_failed")
    failure.message = fmt::format("`{}` did not start: {}", name, failure.message);
  const std::string build = text_at(failure.details, "build_id");
  if (!build.empty() && failure.hint.empty())
    failure.hint = fmt::format("the whole log: skerry logs {} --build {}", name, build);
  return failure;
}

}  // namespace

Outcome<json::object> ShipFlow::ship(const Project& project, ShipCode code, ShipLink link) {
  TRY_ASSIGN(Gateway* const gateway, session_.gateway());
  TRY_ASSIGN(const manifest::Source source, source_of(project, code));
  TRY(gateway->stream(
      "POST", "/v1/functions/ship", {}, manifest::ship_request(project.manifest(), source), kShipSilence,
      [this](json::object&& event) { return progress_.event(std::move(event)); }, cancel_));
  auto result = progress_.result();
  if (!result) return std::unexpected(explain(std::move(result.error()), project.manifest().func_name));
  json::object done = std::move(*result);
  if (link == ShipLink::kLeave) return done;
  const json::object& function = object_at(done, "function");
  // The ship is done: a link that cannot be written (a read-only checkout) is worth a word, not a failure.
  const auto written = write_link(project.root, {gateway->endpoint().text, project.manifest().func_name,
                                                 text_at(function, "id"), text_at(done, "url")});
  if (!written && !session_.json())
    session_.terminal().warn(
        fmt::format("the link to the function was not kept: {}", written.error().message));
  return done;
}

}  // namespace skerry::cli
