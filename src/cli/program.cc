#include "cli/program.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <map>

#include "cli/progress.h"
#include "cli/session.h"
#include "manifest/names.h"

namespace skerry::cli {
namespace {

struct Entry {
  std::unique_ptr<Verb> verb;
  CLI::App* app = nullptr;
  Command::Choices choices;
};

struct Group {
  std::string_view name;
  std::string_view summary;
  std::string_view examples;
};
constexpr Group kGroups[] = {{"secrets", "Secrets that functions receive in their environment",
                              "Examples:\n  skerry secrets set DATABASE_URL\n  skerry secrets ls\n  skerry "
                              "secrets rm DATABASE_URL\n"}};

// `init NAME` is about a new one, `secrets set NAME` about a secret.
bool names_a_function(std::string_view path) {
  return path != "init" && path.find(' ') == std::string_view::npos;
}

// The whole command line: the tree of apps, the verbs, and the --json that each has.
class Program {
 public:
  Program() : app_("Skerry: ship a function, call it over HTTPS.", "skerry") {
    app_.set_version_flag("--version", "skerry " SKERRY_VERSION);
    app_.require_subcommand(0, 1);
    app_.footer(std::string(kFooter) + std::string(kExitTable));
    for (auto& verb : make_verbs()) add(std::move(verb));
    for (const Entry& entry : entries_) shapes_.push_back(shape(entry));
    for (const auto& [name, group] : groups_) {
      VerbShape s{name, group->get_description(), {"--help"}, {}, {}, {}};
      for (const CLI::App* sub : group->get_subcommands({})) s.words.push_back(sub->get_name());
      shapes_.push_back(std::move(s));
    }
  }

  int run(int argc, char** argv);

 private:
  static constexpr std::string_view kFooter =
      "Start here:\n"
      "  skerry init --lang python hello && cd hello && skerry ship\n"
      "\n"
      "Environment:\n"
      "  SKERRY_URL    the gateway (default unix:/run/skerry/control.sock; https://host:8081)\n"
      "  SKERRY_TOKEN  the token; else the one in ~/.config/skerry/config.toml\n"
      "  SKERRY_CA     a CA file to trust, in PEM\n"
      "  NO_COLOR      no colours\n"
      "\n";

  void add(std::unique_ptr<Verb> verb);
  static VerbShape shape(const Entry& entry);
  int parse_failure(const CLI::ParseError& error);
  int run_verb(Entry& entry);
  void say(const Failure& failure) const;
  [[nodiscard]] const CLI::App* deepest() const;

  CLI::App app_;
  std::vector<Entry> entries_;
  std::map<std::string, CLI::App*> groups_;
  std::vector<VerbShape> shapes_;
  Terminal terminal_;
  bool json_ = false;
};

void Program::add(std::unique_ptr<Verb> verb) {
  const std::string path(verb->path());
  CLI::App* parent = &app_;
  std::string name = path;
  if (const size_t space = path.find(' '); space != std::string::npos) {
    const std::string group = path.substr(0, space);
    name = path.substr(space + 1);
    CLI::App*& at = groups_[group];
    if (at == nullptr) {
      const auto* const known = std::find_if(std::begin(kGroups), std::end(kGroups),
                                             [&](const Group& g) { return g.name == group; });
      at = app_.add_subcommand(group, known != std::end(kGroups) ? std::string(known->summary) : "");
      if (known != std::end(kGroups)) at->footer(std::string(known->examples));
      at->require_subcommand(1);
    }
    parent = at;
  }
  CLI::App* app = parent->add_subcommand(name, std::string(verb->summary()));
  Command::Choices choices;
  Command command(*app, choices);
  verb->declare(command);
  app->add_flag("--json", json_, "print JSON (errors too, on standard error)");
  entries_.push_back({std::move(verb), app, std::move(choices)});
}

VerbShape Program::shape(const Entry& entry) {
  VerbShape out{std::string(entry.verb->path()), std::string(entry.verb->summary()), {}, {}, {}, {}};
  for (const CLI::Option* option : entry.app->get_options()) {
    ValueShape value;
    for (const std::string& name : option->get_lnames()) value.names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) value.names.push_back("-" + name);
    out.options.insert(out.options.end(), value.names.begin(), value.names.end());
    const bool is_argument = option->get_positional();
    const std::string kind = is_argument ? option->get_name(true) : option->get_type_name();
    const auto chosen = entry.choices.find(is_argument ? kind : "--" + option->get_name(false).substr(2));
    if (chosen != entry.choices.end()) {
      value.offer = Offer::kWords;
      value.words = chosen->second;
    } else if (kind == "FUNCTION" || (is_argument && kind == "NAME" && names_a_function(out.path))) {
      value.offer = Offer::kFunctions;
    } else if (kind == "DIR") {
      value.offer = Offer::kFolders;
    } else if (kind == "FILE") {
      value.offer = Offer::kFiles;
    }
    if (is_argument)
      out.arguments.push_back(std::move(value));
    else if (option->get_items_expected_max() > 0)
      out.valued.push_back(std::move(value));
  }
  return out;
}

const CLI::App* Program::deepest() const {
  const CLI::App* at = &app_;
  for (;;) {
    const auto chosen = at->get_subcommands();
    if (chosen.empty()) return at;
    at = chosen.front();
  }
}

void Program::say(const Failure& failure) const {
  if (json_) {
    const std::string text = json::serialize(to_json(failure)) + "\n";
    std::fwrite(text.data(), 1, text.size(), stderr);
    return;
  }
  print_failure_log(terminal_, failure);
  terminal_.note(terminal_.styled_err(Style::kRed, "error: ") + visible(failure.message));
  if (!failure.hint.empty())
    terminal_.note(terminal_.styled_err(Style::kBold, "  try: ") + visible(failure.hint));
  if (!failure.request_id.empty())
    terminal_.note(terminal_.styled_err(Style::kDim, "  request: " + visible(failure.request_id)));
}

// CLI11 says what is wrong; this adds what was probably meant.
int Program::parse_failure(const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {  // --help, --version
    app_.exit(error);
    std::fflush(stdout);
    return 0;
  }
  const CLI::App* at = deepest();
  std::string path;
  for (const CLI::App* a = at; a != nullptr && a != &app_; a = a->get_parent())
    path = a->get_name() + (path.empty() ? "" : " " + path);
  Failure failure(Exit::kUsage, "usage", error.what(),
                  fmt::format("skerry {}{}--help", path, path.empty() ? "" : " "));
  if (const auto verbs = at->get_subcommands({}); at != &app_ && !verbs.empty()) {
    std::string words;
    for (const CLI::App* sub : verbs) words += (words.empty() ? "" : ", ") + sub->get_name();
    failure.message = fmt::format("{} wants one of {}", path, words);
  }
  const std::vector<std::string> extra = app_.remaining(true);
  if (!extra.empty()) {
    std::vector<std::string> candidates;
    const std::string word = extra.front().substr(0, extra.front().find('='));
    const bool is_option = word.starts_with('-');
    if (is_option) {
      for (const CLI::Option* option : at->get_options()) {
        for (const std::string& name : option->get_lnames()) candidates.push_back("--" + name);
      }
      failure.message = fmt::format("unknown option `{}`{}", word, path.empty() ? "" : " for " + path);
    } else if (!at->get_subcommands({}).empty()) {
      for (const CLI::App* sub : at->get_subcommands({})) candidates.push_back(sub->get_name());
      failure.message = fmt::format("unknown verb `{}`", path.empty() ? word : path + " " + word);
    } else {
      failure.message = fmt::format("`{}` is one word too many for {}", word, path);
    }
    if (const auto guess = manifest::nearest(word, std::span<const std::string>(candidates)))
      failure.hint = fmt::format("did you mean `{}`?", *guess);
  }
  say(failure);
  return static_cast<int>(failure.exit);
}

int Program::run_verb(Entry& entry) {
  const SystemClock clock;
  Session session(terminal_, clock, json_ ? OutputForm::kJson : OutputForm::kText, shapes_);
  auto outcome = entry.verb->run(session);
  terminal_.clear_status();
  if (!outcome) say(outcome.error());
  const bool written = std::fflush(stdout) == 0;
  const Exit exit = outcome ? *outcome : outcome.error().exit;
  if (!written && exit == Exit::kOk) return static_cast<int>(Exit::kFailed);
  return static_cast<int>(exit);
}

int Program::run(int argc, char** argv) {
  // A --json that stands behind the mistake must still decide how the mistake is told.
  const bool wants_json =
      std::any_of(argv, argv + argc, [](const char* a) { return std::string_view(a) == "--json"; });
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    json_ = wants_json;
    return parse_failure(error);
  }
  for (Entry& entry : entries_) {
    if (entry.app->parsed()) return run_verb(entry);
  }
  std::fputs(app_.help().c_str(), stdout);
  return argc > 1 ? static_cast<int>(Exit::kUsage) : 0;
}

}  // namespace

std::vector<std::unique_ptr<Verb>> make_verbs() {
  using Make = std::unique_ptr<Verb> (*)();
  constexpr Make kMakers[] = {make_init_verb,       make_ship_verb,        make_ls_verb,
                              make_get_verb,        make_invoke_verb,      make_logs_verb,
                              make_env_verb,        make_revisions_verb,   make_rollback_verb,
                              make_rm_verb,         make_secrets_set_verb, make_secrets_ls_verb,
                              make_secrets_rm_verb, make_usage_verb,       make_dev_verb,
                              make_status_verb,     make_doctor_verb,      make_trust_verb,
                              make_config_verb,     make_completion_verb,  make_version_verb};
  std::vector<std::unique_ptr<Verb>> out;
  for (const Make make : kMakers) out.push_back(make());
  return out;
}

int run_program(int argc, char** argv) {
  // A write to a closed connection is an error to be told, not a reason to vanish; writes to a closed pipe
  // are noticed by fflush.
  std::signal(SIGPIPE, SIG_IGN);
  // libarchive reads file names by the locale; they are UTF-8 here, whatever the environment says.
  std::setlocale(LC_CTYPE, "C.UTF-8");
  try {
    return Program().run(argc, argv);
  } catch (const std::exception& error) {
    // Out of memory, or a bug: everything else is an Outcome.
    std::fprintf(stderr, "error: %s\n", error.what());
    return static_cast<int>(Exit::kFailed);
  }
}

}  // namespace skerry::cli
