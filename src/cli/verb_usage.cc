// skerry usage: what the functions used, summed by the gateway from one record a request.
#include "cli/log_lines.h"
#include "cli/session.h"

namespace skerry::cli {
namespace {

class UsageVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "usage"; }
  [[nodiscard]] std::string_view summary() const override { return "Show what the functions used"; }

  void declare(Command& command) override {
    command.option("--since", since_, "from here: 24h, 7d, or 2026-11-23T00:00:00Z", "WHEN");
    command.option("--until", until_, "to here", "WHEN");
    command.option("--function", function_, "of one function", "FUNCTION");
    command.examples("skerry usage\nskerry usage --since 24h --function orders");
  }

  Outcome<Exit> run(Session& session) override {
    TRY_ASSIGN(Gateway* const gateway, session.gateway());
    TRY_ASSIGN(const std::string since, parse_moment(since_, "--since", session.clock().wall_ms()));
    TRY_ASSIGN(const std::string until, parse_moment(until_, "--until", session.clock().wall_ms()));
    auto answer = gateway->get("/v1/usage", {{"since", since}, {"until", until}, {"function", function_}});
    if (!answer) return std::unexpected(session.with_suggestion(std::move(answer.error()), function_));
    const Terminal& t = session.terminal();
    if (session.json()) return t.print_json(*answer), Exit::kOk;
    std::vector<std::vector<std::string>> rows = {
        {"FUNCTION", "LOCATION", "REQUESTS", "ERRORS", "WALL", "CPU", "MEMORY", "IN", "OUT", "STARTS"}};
    for (const json::value& item : array_at(answer->get_object(), "functions")) {
      if (!item.is_object()) continue;
      const json::object& f = item.get_object();
      std::string starts;
      for (const auto& mode : object_at(f, "starts")) {
        const int64_t count = number_at(object_at(f, "starts"), mode.key());
        if (count != 0)
          starts += fmt::format("{}{} {}", starts.empty() ? "" : ", ", visible(mode.key()), count);
      }
      rows.push_back(
          {visible(text_at(f, "function")), visible(text_at(f, "location")),
           fmt::format("{}", number_at(f, "requests")), fmt::format("{}", number_at(f, "errors")),
           format_ms(number_at(f, "wall_ms")), format_ms(number_at(f, "cpu_ms")),
           fmt::format("{:.3f} GB s", static_cast<double>(number_at(f, "memory_mb_ms")) / 1024 / 1000),
           format_bytes(static_cast<uint64_t>(number_at(f, "request_bytes"))),
           format_bytes(static_cast<uint64_t>(number_at(f, "response_bytes"))), starts});
    }
    t.note(fmt::format("from {} to {}", visible(text_at(answer->get_object(), "since")),
                       visible(text_at(answer->get_object(), "until"))));
    t.print_table(rows);
    if (const std::string why = text_at(answer->get_object(), "incomplete"); !why.empty())
      t.note("warning: " + visible(why));
    return Exit::kOk;
  }

 private:
  std::string since_;
  std::string until_;
  std::string function_;
};

}  // namespace

std::unique_ptr<Verb> make_usage_verb() {
  return std::make_unique<UsageVerb>();
}

}  // namespace skerry::cli
