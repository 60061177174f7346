// skerry dev [DIR]: builds and runs the folder in a Skerry of its own on this machine, again at every change,
// with its log in the terminal; Ctrl-C removes all of it. With --remote: on the configured gateway, as
// NAME-dev.
#include <unistd.h>

#include <charconv>

#include "cli/dev_loop.h"
#include "cli/dev_secrets.h"
#include "cli/dev_skerry.h"
#include "os/file.h"

namespace skerry::cli {
namespace {

constexpr size_t kMaxMachineConfig = 1024 * 1024;

class DevVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "dev"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Build and run a folder in a local sandbox, again at every change, with its log here";
  }

  void declare(Command& command) override {
    command.argument("DIR", options_.directory, "the project's folder (default: this one)", Need::kOptional);
    command.option("--name", options_.name, "the function's name, instead of the manifest's", "NAME");
    command.option("--port", port_, "the port for plain HTTP (default: a free one)", "PORT");
    command.flag("--remote", remote_, "on the configured gateway instead, as NAME-dev");
    command.flag("--keep", keep_, "with --remote: leave NAME-dev in place at the end");
    command.examples(
        "sudo skerry dev\n"
        "sudo skerry dev ./orders --port 3000\n"
        "skerry dev ./orders --remote --name orders-of-anna\n"
        "\n"
        "The function runs in a Skerry of its own, in the same sandbox as in production, on loopback only; "
        "its "
        "secrets are the\n"
        "values in DIR/.env and DIR/.env.local. Making containers needs root and the base images of `make "
        "up`. "
        "Ctrl-C ends it\n"
        "and removes everything. With --remote, if this program is killed, `skerry rm NAME-dev` removes the "
        "function.");
  }

  Outcome<Exit> run(Session& session) override {
    if (remote_ && port_) return usage_error("--port goes with a local sandbox, not with --remote");
    if (!remote_ && keep_) return usage_error("--keep goes with --remote; a local sandbox leaves nothing");
    return remote_ ? run_remote(session) : run_local(session);
  }

 private:
  Outcome<Exit> run_local(Session& session) {
    if (::geteuid() != 0) {
      return std::unexpected(
          Failure(Exit::kAuth, "needs_root",
                  "a local sandbox is made of namespaces and control groups, which needs root",
                  "run `sudo skerry dev`, or `skerry dev --remote` to use the configured gateway"));
    }
    TRY_ASSIGN(const std::optional<uint16_t> port, read_port());
    TRY_ASSIGN(const Project project, load_project(options_));
    TRY(check_images(project));
    const Terminal& t = session.terminal();
    if (!session.json()) t.status("  Starting a Skerry for this session ...");
    TRY_ASSIGN(const auto skerry, DevSkerry::start(port, [&](const Error& left) {
                 t.warn(fmt::format("an earlier session left something: {}", left.message()));
               }));
    Outcome<> result;
    {
      const DevStop stop(skerry->ended_fd());
      result = serve(session, *skerry, stop);
      if (stop.has_ended()) result = std::unexpected(skerry->ended());
      if (!session.json()) t.status("  Stopping ...");
      if (!skerry->finish()) t.warn("the next `skerry dev` tries again to remove what is left");
    }
    if (!result) return std::unexpected(std::move(result.error()));
    if (!session.json())
      t.note(fmt::format("{} nothing is left of this session", t.styled_err(Style::kGreen, "ok")));
    return Exit::kOk;
  }

  Outcome<> serve(Session& session, DevSkerry& skerry, const DevStop& stop) {
    TRY(skerry.await_ready(stop.fd()));
    Session local = session.at(skerry.config());
    DevSecrets secrets;
    DevHooks hooks;
    hooks.prepare = [&](Session& at, const Project& project) { return secrets.bring(at, project); };
    hooks.announce = [&](const json::object& done) { announce_local(session, skerry, done); };
    hooks.also_followed = kDotEnvNames;
    return DevLoop(local, options_, std::move(hooks), stop).run();
  }

  Outcome<Exit> run_remote(Session& session) {
    options_.name_suffix = "-dev";
    TRY(session.gateway());
    DevHooks hooks;
    hooks.announce = [&](const json::object& done) {
      announce(session, done, fmt::format("ok {}", visible(text_at(done, "url"))));
    };
    const DevStop stop;
    std::string name;
    Outcome<> result;
    {
      DevLoop loop(session, options_, std::move(hooks), stop);
      result = loop.run();
      name = loop.function();
    }
    remove(session, name);
    if (!result) return std::unexpected(std::move(result.error()));
    return Exit::kOk;
  }

  Outcome<std::optional<uint16_t>> read_port() const {
    if (!port_) return std::nullopt;
    uint16_t port = 0;
    const auto read = std::from_chars(port_->data(), port_->data() + port_->size(), port);
    if (read.ec != std::errc() || read.ptr != port_->data() + port_->size() || port == 0)
      return usage_error("--port: `{}` is not a port from 1 to 65535", *port_);
    return port;
  }

  static Outcome<> check_images(const Project& project) {
    const auto language = project.manifest().runtime.language;
    if (!language) return {};  // told with the project's other faults
    const auto machine = read_file(std::string(kMachineConfig), kMaxMachineConfig);
    const std::string folder = images_folder(machine ? *machine : "");
    std::string names;
    for (const std::string& name : missing_images(folder, *language))
      names += (names.empty() ? "" : ", ") + name;
    if (names.empty()) return {};
    return std::unexpected(Failure(Exit::kFailed, "no_images",
                                   fmt::format("the base images for {} are not in {}: {}",
                                               manifest::to_string(*language), folder, names),
                                   "`make images` in Skerry's source folder makes them (once; some minutes); "
                                   "SKERRY_IMAGES names another folder"));
  }

  // Where to watch, and how to end, once; then one line a ship.
  void announce(const Session& session, const json::object& done, const std::string& line) {
    const Terminal& t = session.terminal();
    if (session.json()) return t.print_json(done), t.flush();
    std::string text = fmt::format("{} in {}", line, format_ms(number_at(done, "ms")));
    if (!std::exchange(announced_, true))
      text +=
          fmt::format("; watching {} (Ctrl-C ends)", options_.directory.empty() ? "." : options_.directory);
    t.note(t.styled_err(Style::kGreen, text.substr(0, 2)) + text.substr(2));
  }

  void announce_local(const Session& session, const DevSkerry& skerry, const json::object& done) {
    const std::string https = text_at(done, "url");
    const size_t host = https.find("//") + 2;
    const std::string http =
        fmt::format("http://{}:{}/", https.substr(host, https.find(':', host) - host), skerry.http_port());
    json::object with = done;
    with["http_url"] = http;
    with["ca"] = skerry.ca_path();
    const bool first = !announced_;
    announce(session, with, fmt::format("ok {}", visible(http)));
    if (first && !session.json())
      session.terminal().note(fmt::format("   {} (curl --cacert {})", visible(https), skerry.ca_path()));
  }

  void remove(Session& session, const std::string& name) const {
    if (name.empty() || keep_) return;
    const Terminal& t = session.terminal();
    auto gateway = session.gateway();
    if (!gateway) return;
    const auto removed = (*gateway)->remove(function_path(name));
    if (!removed && removed.error().exit == Exit::kNotFound) return;  // no ship succeeded
    if (!removed) {
      t.warn(fmt::format("{} is still there ({}); `skerry rm {}` removes it", name,
                         visible(removed.error().message), name));
    } else if (!session.json()) {
      t.note(fmt::format("{} {} is removed", t.styled_err(Style::kGreen, "ok"), name));
    }
  }

  ProjectOptions options_;
  std::optional<std::string> port_;
  bool remote_ = false;
  bool keep_ = false;
  bool announced_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_dev_verb() {
  return std::make_unique<DevVerb>();
}

}  // namespace skerry::cli
