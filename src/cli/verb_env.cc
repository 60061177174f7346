// skerry env NAME: what a script needs to call a function with ordinary clients.
#include <fcntl.h>

#include "cli/session.h"
#include "os/file.h"

namespace skerry::cli {
namespace {

inline constexpr size_t kMaxBundleBytes = 8 * 1024 * 1024;
constexpr const char* kSystemBundles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                          "/etc/pki/tls/certs/ca-bundle.crt"};

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

class EnvVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "env"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Print exports with which scripts call a function";
  }

  void declare(Command& command) override {
    command.argument("NAME", name_, "the function (default: the one this folder is linked to)",
                     Need::kOptional);
    command.examples(
        "eval \"$(skerry env orders)\" && curl \"$FUNCTION_URL\"\nskerry env orders --json | jq -r "
        ".FUNCTION_URL");
  }

  Outcome<Exit> run(Session& session) override {
    TRY_ASSIGN(name_, session.function_name(name_));
    TRY_ASSIGN(const json::object function, session.function(name_));
    TRY_ASSIGN(Config* const config, session.config());
    TRY_ASSIGN(Gateway* const gateway, session.gateway());
    TRY_ASSIGN(const std::string pem, gateway->ca_pem());
    json::object values{{"FUNCTION_URL", text_at(function, "url")}};
    if (!pem.empty()) {
      TRY_ASSIGN(const std::string bundle, write_bundle(*config, pem));
      // Clients that replace their whole store by a file get the system's roots in it too; Node.js adds to
      // its own.
      values["CURL_CA_BUNDLE"] = bundle;
      values["SSL_CERT_FILE"] = bundle;
      values["NODE_EXTRA_CA_CERTS"] = config->ca_path.empty() ? config->cached_ca_path() : config->ca_path;
    }
    const Terminal& t = session.terminal();
    if (session.json()) return t.print_json(values), Exit::kOk;
    for (const auto& value : values)
      t.print_line(fmt::format("export {}={}", std::string_view(value.key()),
                               quoted(std::string_view(value.value().get_string()))));
    return Exit::kOk;
  }

 private:
  static Outcome<std::string> write_bundle(const Config& config, const std::string& pem) {
    std::string text = pem;
    if (!text.ends_with('\n')) text += '\n';
    for (const char* path : kSystemBundles) {
      const auto system = read_file(path, kMaxBundleBytes);
      if (!system) continue;
      text += *system;
      break;
    }
    const std::string path = config.directory + "/ca-bundle.pem";
    if (const auto kept = read_file(path, kMaxBundleBytes * 2); kept && *kept == text) return path;
    TRY(make_directories(config.directory, 0700));
    TRY_ASSIGN(const UniqueFd directory, open_at(AT_FDCWD, config.directory, O_RDONLY | O_DIRECTORY));
    TRY(write_file_atomic(directory.get(), "ca-bundle.pem", text, 0644));
    return path;
  }

  std::string name_;
};

}  // namespace

std::unique_ptr<Verb> make_env_verb() {
  return std::make_unique<EnvVerb>();
}

}  // namespace skerry::cli
