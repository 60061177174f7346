// skerry dev [DIR]: ships the folder as NAME-dev, again at every change, with its log in the terminal; Ctrl-C
// removes it.
//
// Three threads: this one watches and ships, one follows the log over a connection of its own, one turns
// SIGINT and SIGTERM into the stop flag. All end before run() returns.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <mutex>
#include <thread>

#include "cli/change_tracker.h"
#include "cli/folder_watch.h"
#include "cli/log_lines.h"
#include "cli/project.h"
#include "cli/session.h"
#include "cli/ship_flow.h"

namespace skerry::cli {
namespace {

inline constexpr int kShipPauseMs = 1000;       // between ships: a person does not read faster
inline constexpr int kLimitedPauseMs = 30'000;  // after the gateway said that a limit is reached

// SIGINT and SIGTERM as a flag and a readable descriptor, for its lifetime.
class StopSignal {
 public:
  StopSignal()
      : stopped_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        end_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGINT);
    ::sigaddset(&set, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &set, &before_);
    signal_fd_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC));
    thread_ = std::thread([this] { wait(); });
  }
  ~StopSignal() {
    ::eventfd_write(end_fd_.get(), 1);
    thread_.join();
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  [[nodiscard]] const std::atomic<bool>& flag() const { return stopped_; }
  [[nodiscard]] int fd() const { return stopped_fd_.get(); }

 private:
  void wait() {
    pollfd fds[] = {{signal_fd_.get(), POLLIN, 0}, {end_fd_.get(), POLLIN, 0}};
    while (::poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    // Taken off the queue: a signal that is still pending when the mask is restored would end the process.
    signalfd_siginfo taken{};
    if ((fds[0].revents & POLLIN) != 0) (void)!::read(signal_fd_.get(), &taken, sizeof taken);
    stopped_ = true;
    ::eventfd_write(stopped_fd_.get(), 1);
  }

  UniqueFd stopped_fd_;
  UniqueFd end_fd_;
  UniqueFd signal_fd_;
  sigset_t before_{};
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

// The function's log on standard output until `stop`. A broken stream is taken up again after the last line
// seen.
class LogFollower {
 public:
  LogFollower(std::unique_ptr<Gateway> gateway, const Terminal& terminal, std::string name, std::string since,
              OutputForm form)
      : gateway_(std::move(gateway)),
        terminal_(terminal),
        name_(std::move(name)),
        since_(std::move(since)),
        form_(form),
        thread_([this] { follow(); }) {}
  ~LogFollower() {
    stop_ = true;
    thread_.join();
  }
  LogFollower(const LogFollower&) = delete;
  LogFollower& operator=(const LogFollower&) = delete;

 private:
  void follow() {
    std::string cursor;
    while (!stop_) {
      const Query query = {{"follow", "1"}, {"since", cursor.empty() ? since_ : ""}, {"cursor", cursor}};
      // Its failures are the main thread's to tell: it ships to the same gateway.
      (void)gateway_->stream(
          "GET", function_path(name_, "/logs"), query, std::nullopt, std::chrono::seconds(0),
          [&](json::object&& line) {
            if (const std::string at = text_at(line, "cursor"); !at.empty()) cursor = at;
            terminal_.print_line(form_ == OutputForm::kJson ? json::serialize(line)
                                                            : log_text(terminal_, line));
            terminal_.flush();
            return !stop_.load();
          },
          &stop_);
      // A pause between attempts; short, so that stopping is not felt.
      const timespec pause{0, 500'000'000};
      if (!stop_) ::nanosleep(&pause, nullptr);
    }
  }

  std::unique_ptr<Gateway> gateway_;
  const Terminal& terminal_;
  std::string name_;
  std::string since_;
  OutputForm form_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class DevVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "dev"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Ship a folder as NAME-dev, again at every change, with its log here";
  }

  void declare(Command& command) override {
    command.argument("DIR", options_.directory, "the project's folder (default: this one)", Need::kOptional);
    command.option("--name", options_.name, "the name before -dev, instead of the manifest's", "NAME");
    command.flag("--keep", keep_, "leave NAME-dev in place at the end");
    command.examples(
        "skerry dev\n"
        "skerry dev ./orders --name orders-of-anna\n"
        "\n"
        "The function runs on the gateway, in the same sandbox as in production, under the name NAME-dev, "
        "apart from NAME.\n"
        "Ctrl-C removes it. If this program is killed, `skerry rm NAME-dev` does.");
  }

  Outcome<Exit> run(Session& session) override {
    options_.name_suffix = "-dev";
    TRY(session.gateway());
    since_ = format_since(session.clock().wall_ms());
    const StopSignal stop;
    auto result = loop(session, stop);
    follower_.reset();
    remove(session);
    if (!result) return std::unexpected(std::move(result.error()));
    return Exit::kOk;
  }

 private:
  Outcome<> loop(Session& session, const StopSignal& stop) {
    while (!stop.flag()) {
      auto project = load_project(options_);
      if (!project && name_.empty()) return std::unexpected(std::move(project.error()));
      if (!project) {
        tell(session, project.error());
      } else if (tracker_.differs(snapshot(*project))) {
        TRY(round(session, *project, stop));
      }
      TRY_ASSIGN(FolderWatch watch, FolderWatch::make(folders(project ? &*project : nullptr)));
      // What changed between the walk and the watch would wait for the next change: look once more.
      if (project) {
        auto again = load_project(options_);
        if (again && tracker_.differs(snapshot(*again))) continue;
      }
      TRY_ASSIGN(const auto woken, watch.wait(stop.fd()));
      if (woken == FolderWatch::Woken::kStopped) return {};
    }
    return {};
  }

  // One ship, and the pause after it that bounds how often there can be one.
  Outcome<> round(Session& session, const Project& project, const StopSignal& stop) {
    tracker_.shipping(snapshot(project));
    const auto done = ship(session, project, stop.flag());
    if (stop.flag()) return {};
    if (!done) {
      // A gateway that cannot be reached or refuses the token will not do so differently at the next change
      // of a file.
      if (done.error().exit == Exit::kUnreachable || done.error().exit == Exit::kAuth)
        return std::unexpected(done.error());
      tell(session, done.error());
    } else if (!follower_) {
      TRY_ASSIGN(auto gateway, session.new_gateway());
      follower_ = std::make_unique<LogFollower>(std::move(gateway), session.terminal(), name_, since_,
                                                session.json() ? OutputForm::kJson : OutputForm::kText);
    }
    pollfd stopped{stop.fd(), POLLIN, 0};
    const bool limited = !done && done.error().exit == Exit::kLimit;
    ::poll(&stopped, 1, limited ? kLimitedPauseMs : kShipPauseMs);
    if (auto after = load_project(options_)) {
      for (const std::string& path : tracker_.shipped(snapshot(*after))) {
        session.terminal().warn(
            fmt::format("`{}` changes all the time; its changes are not followed (name it in .skerryignore "
                        "to leave it out)",
                        visible(path)));
      }
    }
    return {};
  }

  static std::string format_since(int64_t now_ms) {
    auto text = parse_moment("1s", "--since", now_ms);
    return text ? *text : std::string();
  }

  Outcome<> ship(Session& session, const Project& project, const std::atomic<bool>& stop) {
    TRY(report_diagnostics(session, project));
    name_ = project.manifest().func_name;  // from here on the gateway may have it
    ShipFlow flow(session, &stop);
    TRY_ASSIGN(const json::object done, flow.ship(project, ShipCode::kUpload, ShipLink::kLeave));
    const Terminal& t = session.terminal();
    if (session.json())
      t.print_json(done);
    else
      t.note(fmt::format("{} {} in {}; watching {} (Ctrl-C ends)", t.styled_err(Style::kGreen, "ok"),
                         visible(text_at(done, "url")), format_ms(number_at(done, "ms")),
                         project.root.string()));
    return {};
  }

  static void tell(Session& session, const Failure& failure) {
    const Terminal& t = session.terminal();
    if (session.json()) return t.print_json(to_json(failure));
    print_failure_log(t, failure);
    t.note(t.styled_err(Style::kRed, "error: ") + visible(failure.message));
    t.note("waiting for a change");
  }

  void remove(Session& session) const {
    if (name_.empty() || keep_) return;
    const Terminal& t = session.terminal();
    auto gateway = session.gateway();
    if (!gateway) return;
    const auto removed = (*gateway)->remove(function_path(name_));
    if (!removed && removed.error().exit == Exit::kNotFound) return;  // no ship succeeded
    if (!removed) {
      t.warn(fmt::format("{} is still there ({}); `skerry rm {}` removes it", name_,
                         visible(removed.error().message), name_));
    } else if (!session.json()) {
      t.note(fmt::format("{} {} is removed", t.styled_err(Style::kGreen, "ok"), name_));
    }
  }

  [[nodiscard]] std::vector<std::string> folders(const Project* project) const {
    std::vector<std::string> out = {options_.directory};
    if (project == nullptr) return out;
    for (const manifest::SelectedEntry& e : project->selection.entries) {
      if (e.kind == manifest::EntryKind::kDirectory) out.push_back((project->root / e.path).string());
    }
    return out;
  }

  static ChangeTracker::Snapshot snapshot(const Project& project) {
    ChangeTracker::Snapshot out;
    for (const manifest::SelectedEntry& e : project.selection.entries) {
      std::error_code ec;
      const auto time =
          e.kind == manifest::EntryKind::kFile
              ? std::filesystem::last_write_time(project.root / e.path, ec).time_since_epoch().count()
              : 0;
      out[e.path] = fmt::format("{} {} {} {}", e.size_bytes, time, e.executable, e.link_target);
    }
    return out;
  }

  ProjectOptions options_;
  bool keep_ = false;
  std::string since_;
  std::string name_;  // of the function on the gateway, once a ship was tried
  ChangeTracker tracker_;
  std::unique_ptr<LogFollower> follower_;
};

}  // namespace

std::unique_ptr<Verb> make_dev_verb() {
  return std::make_unique<DevVerb>();
}

}  // namespace skerry::cli
