#include "cli/dev_secrets.h"

#include <set>

#include "manifest/names.h"

namespace skerry::cli {
namespace {

std::string secret_path(std::string_view name) {
  return "/v1/secrets/" + percent_encode(name);
}

std::string list(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "`" : ", `") + name + "`";
  return out;
}

}  // namespace

SecretChoice choose_secrets(const manifest::Manifest& manifest, const DotEnv& dotenv) {
  SecretChoice out;
  const auto take = [&](const std::string& name, const std::string& value) {
    if (value.size() > limits::kSecretValueBytes) {
      out.warnings.push_back(fmt::format("the value of `{}` has {} bytes, and {} is the most of a secret",
                                         name, value.size(), limits::kSecretValueBytes));
    } else if (!value.empty()) {
      out.values[name] = value;
    }
  };
  if (manifest.secrets) {
    std::set<std::string> listed;
    for (const manifest::SecretBinding& secret : *manifest.secrets) listed.insert(secret.name);
    for (const std::string& name : listed) {
      if (const auto at = dotenv.find(name); at != dotenv.end()) take(name, at->second);
      if (!out.values.contains(name)) out.missing.push_back(name);
    }
  } else {
    for (const auto& [name, value] : dotenv) {
      if (const auto ok = manifest::check_env_name(name); ok)
        take(name, value);
      else
        out.warnings.push_back(ok.error().message());
    }
  }
  return out;
}

Outcome<> DevSecrets::bring(Session& session, const Project& project) {
  TRY_ASSIGN(const DotEnv dotenv, read_dotenv(project.root.string()));
  const SecretChoice choice = choose_secrets(project.manifest(), dotenv);
  std::string warnings;
  for (const std::string& warning : choice.warnings) warnings += warning + "\n";
  if (warnings != std::exchange(warned_, warnings)) {
    for (const std::string& warning : choice.warnings)
      session.terminal().warn(visible(fmt::format(".env: {}; it is left out", warning)));
  }
  if (!choice.missing.empty()) {
    return std::unexpected(Failure(
        Exit::kUsage, "missing_secret",
        fmt::format("{} {} listed under [[secrets]] and {} no value in .env or .env.local",
                    list(choice.missing), choice.missing.size() == 1 ? "is" : "are",
                    choice.missing.size() == 1 ? "has" : "have"),
        fmt::format("write a line {}=... to {}", choice.missing.front(), (project.root / ".env").string())));
  }
  TRY_ASSIGN(Gateway* const gateway, session.gateway());
  for (const auto& [name, value] : choice.values) {
    const auto before = set_.find(name);
    if (before != set_.end() && before->second == value) continue;
    TRY(gateway->send("PUT", secret_path(name), json::object{{"value", value}}), name);
    set_[name] = value;
  }
  for (auto at = set_.begin(); at != set_.end();) {
    if (choice.values.contains(at->first)) {
      ++at;
      continue;
    }
    TRY(gateway->remove(secret_path(at->first)), at->first);
    at = set_.erase(at);
  }
  return {};
}

}  // namespace skerry::cli
