// skerry version: ours, and the gateway's if it can be reached.
#include "cli/session.h"

namespace skerry::cli {
namespace {

class VersionVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "version"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Show the version of this program and of the gateway";
  }

  void declare(Command& command) override { command.examples("skerry version\nskerry version --json"); }

  Outcome<Exit> run(Session& session) override {
    std::string theirs;
    // GET /v1/health needs no token, and no gateway is no failure here.
    if (const auto config = session.config()) {
      if (auto endpoint = parse_endpoint((*config)->url)) {
        Gateway gateway(**config, std::move(*endpoint));
        if (const auto answer = gateway.get("/v1/health")) theirs = text_at(answer->get_object(), "version");
      }
    }
    const Terminal& t = session.terminal();
    if (session.json()) {
      t.print_json(json::object{{"skerry", SKERRY_VERSION},
                                {"gateway", theirs.empty() ? json::value(nullptr) : json::value(theirs)}});
      return Exit::kOk;
    }
    t.print_line("skerry " SKERRY_VERSION);
    t.print_line(theirs.empty() ? "gateway not reached" : "gateway " + visible(theirs));
    return Exit::kOk;
  }
};

}  // namespace

std::unique_ptr<Verb> make_version_verb() {
  return std::make_unique<VersionVerb>();
}

}  // namespace skerry::cli
