// skerry status: the gateway, its processes, its instances.
#include "cli/session.h"

namespace skerry::cli {
namespace {

class StatusVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "status"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Show the gateway, its processes and instances";
  }

  void declare(Command& command) override {
    command.examples("skerry status\nskerry status --json | jq .processes");
  }

  Outcome<Exit> run(Session& session) override {
    TRY_ASSIGN(Gateway* const gateway, session.gateway());
    TRY_ASSIGN(const json::value answer, gateway->get("/v1/status"));
    const Terminal& t = session.terminal();
    if (session.json()) return t.print_json(answer), Exit::kOk;
    const json::object& s = answer.get_object();
    const int64_t now = session.clock().wall_ms();
    const json::object& ports = object_at(s, "ports");
    t.print_line(fmt::format("gateway    {} (skerry {}, id {})", visible(gateway->endpoint().text),
                             visible(text_at(s, "version")), visible(text_at(s, "gateway_id"))));
    t.print_line(fmt::format("location   {}", visible(text_at(s, "location"))));
    t.print_line(fmt::format("domain     {}, https {}, http {}, api {}", visible(text_at(s, "domain")),
                             number_at(ports, "https"), number_at(ports, "http"), number_at(ports, "api")));
    const json::value* functions = s.if_contains("functions");
    t.print_line(fmt::format("functions  {}", functions != nullptr && functions->is_array()
                                                  ? static_cast<int64_t>(functions->get_array().size())
                                                  : number_at(s, "functions")));
    std::vector<std::vector<std::string>> processes = {{"PROCESS", "PID", "STARTED", "RESTARTS"}};
    for (const json::value& p : array_at(s, "processes")) {
      if (p.is_object())
        processes.push_back({visible(text_at(p.get_object(), "name")),
                             fmt::format("{}", number_at(p.get_object(), "pid")),
                             age(text_at(p.get_object(), "started_at"), now),
                             fmt::format("{}", number_at(p.get_object(), "restarts"))});
    }
    t.print_line("");
    t.print_table(processes);
    const json::array& instances = array_at(s, "instances");
    if (instances.empty()) return Exit::kOk;
    std::vector<std::vector<std::string>> rows = {{"INSTANCE", "FUNCTION", "REVISION", "STATE", "STARTED"}};
    for (const json::value& i : instances) {
      if (!i.is_object()) continue;
      const json::object& o = i.get_object();
      rows.push_back({visible(text_at(o, "id")), visible(text_at(o, "function")),
                      visible(text_at(o, "revision")), visible(text_at(o, "state")),
                      age(text_at(o, "started_at"), now)});
    }
    t.print_line("");
    t.print_table(rows);
    return Exit::kOk;
  }
};

}  // namespace

std::unique_ptr<Verb> make_status_verb() {
  return std::make_unique<StatusVerb>();
}

}  // namespace skerry::cli
