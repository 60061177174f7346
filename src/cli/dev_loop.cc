#include "cli/dev_loop.h"

#include <poll.h>
#include <sys/stat.h>

#include "cli/folder_watch.h"
#include "cli/log_lines.h"
#include "cli/progress.h"
#include "cli/ship_flow.h"

namespace skerry::cli {
namespace {

inline constexpr int kShipPauseMs = 1000;       // between ships: a person does not read faster
inline constexpr int kLimitedPauseMs = 30'000;  // after the gateway said that a limit is reached

}  // namespace

Outcome<> DevLoop::run() {
  TRY_ASSIGN(since_, parse_moment("1s", "--since", session_.clock().wall_ms()));
  while (!stop_.flag()) {
    auto project = load_project(options_);
    if (!project && name_.empty()) return std::unexpected(std::move(project.error()));
    if (!project) {
      tell(project.error());
    } else if (tracker_.differs(snapshot(*project))) {
      TRY(round(*project));
    }
    TRY_ASSIGN(FolderWatch watch, FolderWatch::make(folders(project ? &*project : nullptr)));
    // What changed between the walk and the watch would wait for the next change: look once more.
    if (project) {
      auto again = load_project(options_);
      if (again && tracker_.differs(snapshot(*again))) continue;
    }
    TRY_ASSIGN(const auto woken, watch.wait(stop_.fd()));
    if (woken == FolderWatch::Woken::kStopped) return {};
  }
  return {};
}

// One ship, and the pause after it that bounds how often there can be one.
Outcome<> DevLoop::round(const Project& project) {
  tracker_.shipping(snapshot(project));
  const auto done = ship(project);
  if (stop_.flag()) return {};
  if (!done) {
    // A gateway that cannot be reached or refuses the token will not do so differently at the next change of
    // a file.
    if (done.error().exit == Exit::kUnreachable || done.error().exit == Exit::kAuth)
      return std::unexpected(done.error());
    tell(done.error());
  } else if (!logs_) {
    TRY_ASSIGN(auto gateway, session_.new_gateway());
    logs_ = std::make_unique<DevLogs>(std::move(gateway), session_.terminal(), name_, since_,
                                      session_.json() ? OutputForm::kJson : OutputForm::kText);
  }
  pollfd stopped{stop_.fd(), POLLIN, 0};
  const bool limited = !done && done.error().exit == Exit::kLimit;
  ::poll(&stopped, 1, limited ? kLimitedPauseMs : kShipPauseMs);
  if (auto after = load_project(options_)) {
    for (const std::string& path : tracker_.shipped(snapshot(*after))) {
      session_.terminal().warn(
          fmt::format("`{}` changes all the time; its changes are not followed (name it in .skerryignore "
                      "to leave it out)",
                      visible(path)));
    }
  }
  return {};
}

Outcome<> DevLoop::ship(const Project& project) {
  TRY(report_diagnostics(session_, project));
  name_ = project.manifest().func_name;  // from here on the gateway may have it
  if (hooks_.prepare) TRY(hooks_.prepare(session_, project));
  ShipFlow flow(session_, &stop_.flag());
  TRY_ASSIGN(const json::object done, flow.ship(project, ShipCode::kUpload, ShipLink::kLeave));
  answers_ = true;
  hooks_.announce(done);
  return {};
}

void DevLoop::tell(const Failure& failure) const {
  const Terminal& t = session_.terminal();
  if (session_.json()) return t.print_json(to_json(failure));
  print_failure_log(t, failure);
  t.note(t.styled_err(Style::kRed, "error: ") + visible(failure.message));
  if (!failure.hint.empty() && failure.exit == Exit::kUsage) t.note("  try: " + visible(failure.hint));
  t.note(answers_ ? "what was shipped before still answers; waiting for a change" : "waiting for a change");
}

std::vector<std::string> DevLoop::folders(const Project* project) const {
  std::vector<std::string> out = {options_.directory};
  if (project == nullptr) return out;
  if (project->source_root != project->root) out.push_back(project->source_root.string());
  for (const manifest::SelectedEntry& e : project->selection.entries) {
    if (e.kind == manifest::EntryKind::kDirectory) out.push_back((project->source_root / e.path).string());
  }
  return out;
}

ChangeTracker::Snapshot DevLoop::snapshot(const Project& project) const {
  ChangeTracker::Snapshot out;
  for (const manifest::SelectedEntry& e : project.selection.entries) {
    std::error_code ec;
    const auto time =
        e.kind == manifest::EntryKind::kFile
            ? std::filesystem::last_write_time(project.source_root / e.path, ec).time_since_epoch().count()
            : 0;
    out[e.path] = fmt::format("{} {} {} {}", e.size_bytes, time, e.executable, e.link_target);
  }
  for (const std::string_view name : hooks_.also_followed) {
    struct stat file{};
    if (::stat((project.root / name).c_str(), &file) != 0) continue;
    out[std::string(name)] = fmt::format("{} {}.{}", file.st_size, file.st_mtim.tv_sec, file.st_mtim.tv_nsec);
  }
  return out;
}

}  // namespace skerry::cli
