#include "cli/dev_secrets.h"

#include <algorithm>

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
  if (manifest.secrets) {
    for (const manifest::SecretBinding& listed : *manifest.secrets) {
      const auto at = dotenv.find(listed.name);
      if (at != dotenv.end() && !at->second.empty())
        out.values.insert(*at);
      else if (std::find(out.missing.begin(), out.missing.end(), listed.name) == out.missing.end())
        out.missing.push_back(listed.name);
    }
  } else {
    for (const auto& [name, value] : dotenv) {
      if (const auto ok = manifest::check_env_name(name); !ok)
        out.warnings.push_back(ok.error().message());
      else if (!value.empty())
        out.values.emplace(name, value);
    }
  }
  std::erase_if(out.values, [&](const auto& item) {
    if (item.second.size() <= limits::kSecretValueBytes) return false;
    out.warnings.push_back(fmt::format("the value of `{}` has {} bytes, and {} is the most of a secret",
                                       item.first, item.second.size(), limits::kSecretValueBytes));
    return true;
  });
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
