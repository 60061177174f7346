// Verb: one word of the command line (`ship`, `secrets set`), one file each (verb_*.cc). Command: how a verb
// declares its options.
//
// A verb owns its option values, declares them once, and runs at most once. Command hides CLI11, whose
// headers only command.cc and program.cc read.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/exit.h"

namespace CLI {
class App;
}

namespace skerry::cli {

class Session;

enum class Need { kRequired, kOptional };

class Command {
 public:
  // The closed sets of values, by the declared name ("--lang", "ACTION").
  using Choices = std::map<std::string, std::vector<std::string>, std::less<>>;

  Command(CLI::App& app, Choices& choices) : app_(app), choices_(choices) {}

  void argument(const std::string& name, std::string& into, const std::string& help, Need need);
  // "-f,--follow"; the target must outlive the parse.
  void flag(const std::string& names, bool& into, const std::string& help);
  void option(const std::string& names, std::string& into, const std::string& help,
              const std::string& value_name);
  void option(const std::string& names, std::optional<std::string>& into, const std::string& help,
              const std::string& value_name);
  // May be given several times, one value each.
  void repeated(const std::string& names, std::vector<std::string>& into, const std::string& help,
                const std::string& value_name);
  // All that an option or argument may be, for completion; the verb still checks what it gets.
  void choices(const std::string& name, std::span<const std::string_view> words);
  // Lines under "Examples:" at the end of the help.
  void examples(const std::string& lines);

 private:
  CLI::App& app_;
  Choices& choices_;
};

class Verb {
 public:
  virtual ~Verb() = default;
  [[nodiscard]] virtual std::string_view path() const = 0;  // "secrets set"
  [[nodiscard]] virtual std::string_view summary() const = 0;
  virtual void declare(Command& command) = 0;
  virtual Outcome<Exit> run(Session& session) = 0;
};

// What completion scripts need to know of a verb.
enum class Offer { kNothing, kWords, kFunctions, kFolders, kFiles };
struct ValueShape {
  std::vector<std::string> names;  // "--lang", "-l"; empty for an argument, which its position names
  Offer offer = Offer::kNothing;
  std::vector<std::string> words;  // kWords: all that it may be
};
struct VerbShape {
  std::string path;
  std::string summary;
  std::vector<std::string> options;    // "--json", "-f"
  std::vector<std::string> words;      // for a group: its verbs
  std::vector<ValueShape> valued;      // the options that take a value
  std::vector<ValueShape> arguments;   // in their order
};

std::unique_ptr<Verb> make_init_verb();
std::unique_ptr<Verb> make_ship_verb();
std::unique_ptr<Verb> make_ls_verb();
std::unique_ptr<Verb> make_get_verb();
std::unique_ptr<Verb> make_invoke_verb();
std::unique_ptr<Verb> make_logs_verb();
std::unique_ptr<Verb> make_env_verb();
std::unique_ptr<Verb> make_revisions_verb();
std::unique_ptr<Verb> make_rollback_verb();
std::unique_ptr<Verb> make_rm_verb();
std::unique_ptr<Verb> make_secrets_set_verb();
std::unique_ptr<Verb> make_secrets_ls_verb();
std::unique_ptr<Verb> make_secrets_rm_verb();
std::unique_ptr<Verb> make_usage_verb();
std::unique_ptr<Verb> make_dev_verb();
std::unique_ptr<Verb> make_status_verb();
std::unique_ptr<Verb> make_doctor_verb();
std::unique_ptr<Verb> make_trust_verb();
std::unique_ptr<Verb> make_config_verb();
std::unique_ptr<Verb> make_completion_verb();
std::unique_ptr<Verb> make_version_verb();

}  // namespace skerry::cli
