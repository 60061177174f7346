// skerry logs NAME: what a function wrote, oldest first; -f goes on, over broken connections too.
#include <ctime>

#include "cli/log_lines.h"
#include "cli/session.h"

namespace skerry::cli {
namespace {

inline constexpr int kMaxReconnects =
    60;  // with a second between them: a gateway that is away for a minute is looked at by a person

class LogsVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "logs"; }
  [[nodiscard]] std::string_view summary() const override { return "Show what a function wrote"; }

  void declare(Command& command) override {
    command.argument("NAME", name_, "the function (default: the one this folder is linked to)",
                     Need::kOptional);
    command.flag("-f,--follow", follow_, "stay and show new lines as they come");
    command.option("--since", since_, "not before this: 10m, 2h, or 2026-11-23T18:40:00Z", "WHEN");
    command.option("--until", until_, "not after this", "WHEN");
    command.option("--request-id", request_id_,
                   "only the lines of one request (the X-Request-Id of its answer)", "ID");
    command.option("--limit", limit_, "at most this many lines", "N");
    command.option("--build", build_, "instead, the whole log of one build (a failed ship names it)", "ID");
    command.examples(
        "skerry logs orders --since 10m\nskerry logs orders -f\nskerry logs orders --request-id 01JDE0M5W8");
  }

  Outcome<Exit> run(Session& session) override {
    TRY_ASSIGN(name_, session.function_name(name_));
    TRY_ASSIGN(Gateway* const gateway, session.gateway());
    if (!build_.empty()) return build_log(session, *gateway);
    TRY_ASSIGN(const std::string since, parse_moment(since_, "--since", session.clock().wall_ms()));
    TRY_ASSIGN(const std::string until, parse_moment(until_, "--until", session.clock().wall_ms()));
    if (!limit_.empty() && limit_.find_first_not_of("0123456789") != std::string::npos)
      return usage_error("--limit: `{}` is not a number", limit_);
    const Terminal& t = session.terminal();
    std::string cursor;
    int reconnects = 0;
    for (;;) {
      const Query query = {{"since", cursor.empty() ? since : ""},
                           {"until", until},
                           {"request_id", request_id_},
                           {"limit", limit_},
                           {"follow", follow_ ? "1" : ""},
                           {"cursor", cursor}};
      auto outcome =
          gateway->stream("GET", function_path(name_, "/logs"), query, std::nullopt,
                          std::chrono::seconds(follow_ ? 0 : 60), [&](json::object&& line) {
                            if (const std::string at = text_at(line, "cursor"); !at.empty()) cursor = at;
                            reconnects = 0;
                            t.print_line(session.json() ? json::serialize(line) : log_text(t, line));
                            t.flush();
                            return !t.out_is_broken();
                          });
      if (t.out_is_broken()) return Exit::kOk;
      const bool lost =
          follow_ && (outcome || outcome.error().exit == Exit::kUnreachable) && (!cursor.empty() || outcome);
      if (lost && ++reconnects <= kMaxReconnects) {
        // The gateway restarted, or the connection broke: go on after the last line seen. A pause between
        // attempts, not a wait for an event.
        const timespec second{1, 0};
        ::nanosleep(&second, nullptr);
        continue;
      }
      if (!outcome) return std::unexpected(session.with_suggestion(std::move(outcome.error()), name_));
      return Exit::kOk;
    }
  }

 private:
  Outcome<Exit> build_log(Session& session, Gateway& gateway) const {
    auto text = gateway.get_text(function_path(name_, fmt::format("/builds/{}/log", percent_encode(build_))));
    if (!text) return std::unexpected(session.with_suggestion(std::move(text.error()), name_));
    const Terminal& t = session.terminal();
    if (session.json())
      t.print_json(json::object{{"build", build_}, {"log", *text}});
    else
      t.print(visible_lines(*text));
    return Exit::kOk;
  }

  std::string name_;
  std::string build_;
  bool follow_ = false;
  std::string since_;
  std::string until_;
  std::string request_id_;
  std::string limit_;
};

}  // namespace

std::unique_ptr<Verb> make_logs_verb() {
  return std::make_unique<LogsVerb>();
}

}  // namespace skerry::cli
