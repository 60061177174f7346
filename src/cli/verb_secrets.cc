// skerry secrets set|ls|rm: values go in, and never come out again.
#include <algorithm>

#include "cli/secret_input.h"
#include "cli/session.h"
#include "manifest/names.h"

namespace skerry::cli {
namespace {

std::string secret_path(std::string_view name) {
  return "/v1/secrets/" + percent_encode(name);
}

// A secret takes the place of what the platform sets under that name.
bool is_set_by_the_platform(std::string_view name) {
  constexpr std::string_view kNames[] = {"PATH", "HOME", "USER", "TMPDIR", "LANG", "TZ", "HOSTNAME"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

std::string names_at(const json::object& answer, std::string_view key) {
  std::string names;
  for (const json::value& f : array_at(answer, key)) {
    if (f.is_string()) names += (names.empty() ? "" : ", ") + visible(std::string_view(f.get_string()));
  }
  return names;
}

// The secret is changed; that a function does not start with it is told, and fails a script that counts on
// it.
Exit tell_failures(const Terminal& t, const json::object& answer, std::string_view meanwhile) {
  const json::array& failed = array_at(answer, "failed");
  for (const json::value& item : failed) {
    if (!item.is_object()) continue;
    const std::string function = visible(text_at(item.get_object(), "function"));
    t.warn(fmt::format("{} does not start with it and {}: {}; `skerry logs {}` says more", function,
                       meanwhile, visible(text_at(item.get_object(), "message")), function));
  }
  return failed.empty() ? Exit::kOk : Exit::kBuildFailed;
}

class SecretsSetVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "secrets set"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Set a secret (its value comes from a prompt, standard input or a file)";
  }

  void declare(Command& command) override {
    command.argument("NAME", name_, "the secret, like DATABASE_URL", Need::kRequired);
    command.option("--only", only_, "for this function alone (default: shared by all)", "FUNCTION");
    command.option("--from-file", file_, "take the value from a file, byte for byte (- is standard input)",
                   "FILE");
    command.option("--value", value_, "the value itself; other users can see it in the list of processes",
                   "VALUE");
    command.examples(
        "skerry secrets set DATABASE_URL\npass show shop/db | skerry secrets set DATABASE_URL --only "
        "orders\nskerry secrets set TLS_KEY --from-file key.pem");
  }

  Outcome<Exit> run(Session& session) override {
    const Terminal& t = session.terminal();
    if (const auto ok = manifest::check_env_name(name_); !ok) return usage_error("{}", ok.error().message());
    if (value_ && !file_.empty()) return usage_error("--value and --from-file both give a value; use one");
    if (is_set_by_the_platform(name_))
      t.warn(fmt::format("every function has a `{}` of the platform's; the secret takes its place", name_));
    TRY_ASSIGN(Gateway* const gateway, session.gateway());
    TRY_ASSIGN(const std::string value, read(t));
    if (value.empty()) return usage_error("the value of `{}` is empty; nothing was set", name_);
    // JSON carries text: what is not UTF-8 would arrive as something else.
    if (!manifest::is_utf8(value))
      return usage_error(
          "the value of `{}` is not UTF-8 text; encode it, for example with base64, and decode it in the "
          "function",
          name_);
    json::object body{{"value", value}};
    if (!only_.empty()) body["function"] = only_;
    auto answer = gateway->send("PUT", secret_path(name_), body);
    if (!answer) return std::unexpected(session.with_suggestion(std::move(answer.error()), only_));
    if (session.json()) {
      t.print_json(*answer);
      return array_at(answer->get_object(), "failed").empty() ? Exit::kOk : Exit::kBuildFailed;
    }
    const std::string redeployed = names_at(answer->get_object(), "redeployed");
    t.note(fmt::format("{} {} is set{}{}", t.styled_err(Style::kGreen, "ok"), name_,
                       only_.empty() ? "" : " for " + visible(only_),
                       redeployed.empty() ? "" : "; in use at once by " + redeployed));
    return tell_failures(t, answer->get_object(), "goes on with the value it had");
  }

 private:
  Outcome<std::string> read(const Terminal& t) const {
    if (value_) {
      t.warn(
          "--value shows the secret to everyone who can list processes, and leaves it in the shell's "
          "history; a pipe or --from-file does not");
      if (value_->size() > limits::kSecretValueBytes)
        return std::unexpected(Failure(Exit::kLimit, "too_large",
                                       fmt::format("the value has {} bytes, and {} is the most",
                                                   value_->size(), limits::kSecretValueBytes)));
      return *value_;
    }
    if (!file_.empty()) return read_value_file(file_, limits::kSecretValueBytes, NewlineAtEnd::kKeep);
    return read_hidden(t, fmt::format("Value of {} (not shown): ", name_), limits::kSecretValueBytes);
  }

  std::string name_;
  std::string only_;
  std::string file_;
  std::optional<std::string> value_;
};

class SecretsLsVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "secrets ls"; }
  [[nodiscard]] std::string_view summary() const override { return "List the secrets: names, never values"; }

  void declare(Command& command) override {
    command.option("--only", only_, "those that this function receives", "FUNCTION");
    command.examples("skerry secrets ls\nskerry secrets ls --only orders");
  }

  Outcome<Exit> run(Session& session) override {
    TRY_ASSIGN(Gateway* const gateway, session.gateway());
    auto answer = gateway->get("/v1/secrets", {{"function", only_}});
    if (!answer) return std::unexpected(session.with_suggestion(std::move(answer.error()), only_));
    const Terminal& t = session.terminal();
    if (session.json()) return t.print_json(*answer), Exit::kOk;
    const json::array& secrets = array_at(answer->get_object(), "secrets");
    if (secrets.empty()) return t.note("no secrets; `skerry secrets set NAME` sets one"), Exit::kOk;
    std::vector<std::vector<std::string>> rows = {{"NAME", "FOR", "SIZE", "UPDATED"}};
    for (const json::value& item : secrets) {
      if (!item.is_object()) continue;
      const json::object& s = item.get_object();
      const std::string function = text_at(s, "function");
      rows.push_back({visible(text_at(s, "name")), function.empty() ? "all functions" : visible(function),
                      format_bytes(static_cast<uint64_t>(number_at(s, "size"))),
                      age(text_at(s, "updated_at"), session.clock().wall_ms())});
    }
    t.print_table(rows);
    return Exit::kOk;
  }

 private:
  std::string only_;
};

class SecretsRmVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "secrets rm"; }
  [[nodiscard]] std::string_view summary() const override { return "Remove a secret"; }

  void declare(Command& command) override {
    command.argument("NAME", name_, "the secret", Need::kRequired);
    command.option("--only", only_, "the one of this function, not the shared one", "FUNCTION");
    command.examples("skerry secrets rm DATABASE_URL\nskerry secrets rm DATABASE_URL --only orders");
  }

  Outcome<Exit> run(Session& session) override {
    TRY_ASSIGN(Gateway* const gateway, session.gateway());
    auto removed = gateway->remove(secret_path(name_), {{"function", only_}});
    if (!removed) return std::unexpected(explain(*gateway, std::move(removed.error())));
    const Terminal& t = session.terminal();
    const json::object* const answer = removed->if_object();
    const json::object rollout = answer != nullptr ? *answer : json::object();
    if (session.json()) {
      json::object out{{"removed", name_}};
      for (const char* key : {"redeployed", "failed"}) out[key] = array_at(rollout, key);
      t.print_json(out);
      return array_at(rollout, "failed").empty() ? Exit::kOk : Exit::kBuildFailed;
    }
    const std::string redeployed = names_at(rollout, "redeployed");
    t.note(fmt::format("{} {} is removed{}", t.styled_err(Style::kGreen, "ok"), visible(name_),
                       redeployed.empty() ? "" : "; out of use at once by " + redeployed));
    return tell_failures(t, rollout, "goes on with the value of before");
  }

 private:
  Failure explain(Gateway& gateway, Failure failure) const {
    if (failure.exit != Exit::kNotFound) return failure;
    const auto listing = gateway.get("/v1/secrets");
    if (!listing) return failure;
    std::vector<std::string> names;
    for (const json::value& s : array_at(listing->get_object(), "secrets")) {
      if (s.is_object()) names.push_back(text_at(s.get_object(), "name"));
    }
    const auto guess = manifest::nearest(name_, std::span<const std::string>(names));
    failure.hint = guess && *guess != name_ ? fmt::format("did you mean `{}`?", *guess)
                                            : "`skerry secrets ls` lists the secrets";
    return failure;
  }

  std::string name_;
  std::string only_;
};

}  // namespace

std::unique_ptr<Verb> make_secrets_set_verb() {
  return std::make_unique<SecretsSetVerb>();
}
std::unique_ptr<Verb> make_secrets_ls_verb() {
  return std::make_unique<SecretsLsVerb>();
}
std::unique_ptr<Verb> make_secrets_rm_verb() {
  return std::make_unique<SecretsRmVerb>();
}

}  // namespace skerry::cli
