// skerry doctor: what this machine has and lacks, and how to get it. Works without a gateway.
#include <cstdlib>

#include "cli/machine.h"
#include "cli/session.h"

namespace skerry::cli {
namespace {

std::string_view word(Health health) {
  switch (health) {
    case Health::kOk:
      return "ok";
    case Health::kWarning:
      return "warning";
    case Health::kMissing:
      return "missing";
  }
  return "missing";
}

class DoctorVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "doctor"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Check what this machine lacks, and how to get it";
  }

  void declare(Command& command) override {
    command.examples("skerry doctor\nskerry doctor --json | jq '.findings[] | select(.health != \"ok\")'");
  }

  Outcome<Exit> run(Session& session) override {
    const std::string release = kernel_release();
    const char* path = std::getenv("PATH");
    std::vector<Finding> findings;
    for (auto& group : {check_kernel("", release), check_cgroups(""), check_network("", release),
                        check_features(""), check_programs(path == nullptr ? "" : path), check_resources(""),
                        check_ports(own_ports(session)), check_names(), check_gateway(session)}) {
      findings.insert(findings.end(), group.begin(), group.end());
    }
    size_t missing = 0;
    size_t warnings = 0;
    json::array list;
    for (const Finding& f : findings) {
      missing += f.health == Health::kMissing ? 1U : 0U;
      warnings += f.health == Health::kWarning ? 1U : 0U;
      list.push_back(
          json::object{{"name", f.name}, {"health", word(f.health)}, {"found", f.found}, {"fix", f.fix}});
    }
    const Terminal& t = session.terminal();
    if (session.json()) {
      t.print_json(json::object{{"ok", missing == 0}, {"findings", std::move(list)}});
    } else {
      for (const Finding& f : findings) print(t, f);
      t.print_line(fmt::format("{} checks, {} missing, {} warnings", findings.size(), missing, warnings));
    }
    return missing == 0 ? Exit::kOk : Exit::kFailed;
  }

 private:
  static void print(const Terminal& t, const Finding& f) {
    const Style style = f.health == Health::kOk        ? Style::kGreen
                        : f.health == Health::kWarning ? Style::kYellow
                                                       : Style::kRed;
    t.print_line(fmt::format("{} {:<20} {}", t.styled_out(style, fmt::format("{:<7}", word(f.health))),
                             f.name, visible(f.found)));
    if (!f.fix.empty()) t.print_line(fmt::format("        {}", f.fix));
  }

  // Those of the configured gateway, when it is on this machine and tells.
  static std::vector<int64_t> own_ports(Session& session) {
    const auto config = session.config();
    if (!config) return {};
    auto endpoint = parse_endpoint((*config)->url);
    if (!endpoint || !endpoint->is_local()) return {};
    Gateway gateway(**config, std::move(*endpoint));
    const auto status = gateway.get("/v1/status");
    if (!status || !status->is_object()) return {};
    std::vector<int64_t> ports;
    for (const auto& port : object_at(status->get_object(), "ports"))
      ports.push_back(number_at(object_at(status->get_object(), "ports"), port.key()));
    return ports;
  }

  static std::vector<Finding> check_gateway(Session& session) {
    const auto config = session.config();
    if (!config)
      return {{"configuration", Health::kMissing, config.error().message, "mend the file, or remove it"}};
    auto endpoint = parse_endpoint((*config)->url);
    if (!endpoint)
      return {{"gateway", Health::kMissing, endpoint.error().message, "skerry config set url ..."}};
    Gateway gateway(**config, std::move(*endpoint));
    std::vector<Finding> out;
    const auto health = gateway.get("/v1/health");
    out.push_back({"gateway", health ? Health::kOk : Health::kWarning,
                   health ? fmt::format("{} answers, skerry {}", (*config)->url,
                                        text_at(health->get_object(), "version"))
                          : health.error().message,
                   health ? "" : health.error().hint});
    out.push_back({"token", (*config)->token.empty() ? Health::kWarning : Health::kOk,
                   (*config)->token.empty() ? "none" : "from " + (*config)->token_from,
                   (*config)->token.empty() ? "skerry config set token" : ""});
    return out;
  }
};

}  // namespace

std::unique_ptr<Verb> make_doctor_verb() {
  return std::make_unique<DoctorVerb>();
}

}  // namespace skerry::cli
