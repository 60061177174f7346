// skerry config [show|set KEY [VALUE]|unset KEY]: the CLI's own settings. The token is asked for, never
// shown.
#include "cli/secret_input.h"
#include "cli/session.h"
#include "manifest/names.h"

namespace skerry::cli {
namespace {

inline constexpr size_t kMaxTokenBytes = 4096;
constexpr std::string_view kActions[] = {"show", "set", "unset"};

class ConfigVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "config"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Show or change this program's settings (url, token, ca)";
  }

  void declare(Command& command) override {
    command.argument("ACTION", action_, "show, set or unset (default: show)", Need::kOptional);
    command.argument("KEY", key_, "url, token or ca", Need::kOptional);
    command.choices("ACTION", kActions);
    command.choices("KEY", config_keys());
    command.argument("VALUE", value_, "the new value; a token is asked for, or read from standard input",
                     Need::kOptional);
    command.examples(
        "skerry config\nskerry config set url https://edge.example.com:8081\nskerry config set token < "
        "token.txt\nskerry config unset ca");
  }

  Outcome<Exit> run(Session& session) override {
    TRY_ASSIGN(Config* const config, session.config());
    if (action_ == "show" && key_.empty()) return show(session, *config);
    if (action_ != "set" && action_ != "unset")
      return usage_error("config: `{}` is not one of show, set, unset", action_);
    bool known = false;
    for (const std::string_view key : config_keys()) known = known || key == key_;
    if (!known) return usage_error("config: `{}` is not one of {}", key_, fmt::join(config_keys(), ", "));
    if (action_ == "unset") {
      config->file.erase(key_);
    } else {
      TRY_ASSIGN(const std::string value, new_value(session.terminal()));
      config->file[key_] = value;
    }
    TRY(save_config(*config));
    if (session.json())
      session.terminal().print_json(
          json::object{{"path", config->path}, {"key", key_}, {"set", action_ == "set"}});
    else
      session.terminal().note(fmt::format("{} {} is {} in {}",
                                          session.terminal().styled_err(Style::kGreen, "ok"), key_,
                                          action_ == "set" ? "set" : "removed", config->path));
    return Exit::kOk;
  }

 private:
  Outcome<std::string> new_value(const Terminal& t) const {
    std::string value = value_;
    if (key_ == "token") {
      if (!value_.empty()) {
        t.warn(
            "a token on the command line stays in the shell's history; `skerry config set token` asks for "
            "it");
      } else {
        TRY_ASSIGN(value, read_hidden(t, "Token (not shown): ", kMaxTokenBytes));
      }
    }
    while (value.ends_with('\n') || value.ends_with(' ')) value.pop_back();
    if (value.empty()) return usage_error("config set {}: a value is needed", key_);
    if (value.find_first_of("\r\n") != std::string::npos)
      return usage_error("config set {}: the value contains a line break", key_);
    if (key_ == "url") TRY(parse_endpoint(value));
    return value;
  }

  static Outcome<Exit> show(const Session& session, const Config& config) {
    const Terminal& t = session.terminal();
    if (session.json()) {
      t.print_json(json::object{
          {"path", config.path},
          {"url", config.url},
          {"url_from", config.url_from},
          {"token_from", config.token.empty() ? json::value(nullptr) : json::value(config.token_from)},
          {"ca", config.ca_path}});
      return Exit::kOk;
    }
    t.print_line(fmt::format("file   {}", config.path));
    t.print_line(fmt::format("url    {} (from {})", visible(config.url), config.url_from));
    t.print_line(fmt::format("token  {}", config.token.empty()
                                              ? "none"
                                              : fmt::format("set, not shown (from {})", config.token_from)));
    t.print_line(fmt::format("ca     {}", config.ca_path.empty() ? "the gateway's, over its unix socket"
                                                                 : visible(config.ca_path)));
    return Exit::kOk;
  }

  std::string action_ = "show";
  std::string key_;
  std::string value_;
};

}  // namespace

std::unique_ptr<Verb> make_config_verb() {
  return std::make_unique<ConfigVerb>();
}

}  // namespace skerry::cli
