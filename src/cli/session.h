// Session: what one run of `skerry` has: the terminal, the configuration, the gateway (connected at first
// use), and the verbs' shapes.
//
// Made by program.cc, given to Verb::run. Also the helpers that several verbs share: function paths, the
// not-found suggestion, JSON reading.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "cli/config.h"
#include "cli/exit.h"
#include "cli/gateway.h"
#include "cli/terminal.h"
#include "cli/verb.h"

namespace skerry::cli {

enum class OutputForm { kText, kJson };

class Session {
 public:
  Session(const Terminal& terminal, const Clock& clock, OutputForm form, const std::vector<VerbShape>& shapes)
      : terminal_(terminal), clock_(clock), form_(form), shapes_(shapes) {}
  // The same terminal, with another gateway than the configured one.
  [[nodiscard]] Session at(Config config) const {
    Session out(terminal_, clock_, form_, shapes_);
    out.config_ = std::move(config);
    return out;
  }

  [[nodiscard]] const Terminal& terminal() const { return terminal_; }
  [[nodiscard]] const Clock& clock() const { return clock_; }
  [[nodiscard]] bool json() const { return form_ == OutputForm::kJson; }
  [[nodiscard]] const std::vector<VerbShape>& shapes() const { return shapes_; }

  Outcome<Config*> config();
  // Refuses with kAuth where no token is known.
  Outcome<Gateway*> gateway();
  // A second, independent connection (for a second thread).
  Outcome<std::unique_ptr<Gateway>> new_gateway();

  // `given`, or where it is empty the function that the current folder is linked to (on this gateway).
  Outcome<std::string> function_name(const std::string& given);
  // GET /v1/functions/{name}; a function that is not there is refused with the nearest name.
  Outcome<json::object> function(const std::string& name);
  // Adds "did you mean" to a not_found failure about `name`.
  Failure with_suggestion(Failure failure, const std::string& name);

 private:
  const Terminal& terminal_;
  const Clock& clock_;
  OutputForm form_;
  const std::vector<VerbShape>& shapes_;
  std::optional<Config> config_;
  std::unique_ptr<Gateway> gateway_;
};

[[nodiscard]] std::string function_path(std::string_view name,
                                        std::string_view rest = "");  // "/v1/functions/NAME" + rest

// Lenient reading of the gateway's answers: an absent or odd field is "" or 0, never an error (a newer
// gateway may say more or less).
[[nodiscard]] std::string text_at(const json::object& from, std::string_view key);
[[nodiscard]] int64_t number_at(const json::object& from, std::string_view key);
[[nodiscard]] const json::object& object_at(const json::object& from,
                                            std::string_view key);  // an empty one where absent
[[nodiscard]] const json::array& array_at(const json::object& from, std::string_view key);

}  // namespace skerry::cli
