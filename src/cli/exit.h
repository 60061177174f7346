// Exit codes and failures of the CLI: what went wrong, where, what to do, and the code that scripts branch
// on.
//
// kExitTable is the one text of the table: `skerry --help` prints it and README.md repeats it (a test
// compares them).
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "json/json.h"

namespace skerry::cli {

enum class Exit : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kNotFound = 3,
  kAuth = 4,
  kUnreachable = 5,
  kBuildFailed = 6,
  kLimit = 7,
  kFunction4xx = 8,
  kFunction5xx = 9,
};

inline constexpr std::string_view kExitTable =
    "Exit codes:\n"
    "  0  done\n"
    "  1  failed\n"
    "  2  wrong use: an option, a manifest, a value\n"
    "  3  not found: a function, a revision, a secret\n"
    "  4  not allowed: no token, a wrong one, or no right\n"
    "  5  the gateway (or, for invoke, the function) cannot be reached\n"
    "  6  the build or the start of the function failed\n"
    "  7  over a limit: size, count, rate, disk\n"
    "  8  invoke: the function answered 4xx\n"
    "  9  invoke: the function answered 5xx\n";

struct Failure {
  Exit exit = Exit::kFailed;
  std::string code;        // stable word: the API's, or "usage", "io", "unreachable"
  std::string message;     // what and where
  std::string hint;        // what to do; "" where the message says it
  std::string request_id;  // of the gateway's answer
  json::object details;    // as the gateway gave them

  Failure(Exit e, std::string c, std::string m, std::string h = {})
      : exit(e), code(std::move(c)), message(std::move(m)), hint(std::move(h)) {}
  // NOLINTNEXTLINE(google-explicit-constructor): so that Result<T> passes into Outcome<T>.
  Failure(const Error& error);
};

template <typename T = void>
using Outcome = std::expected<T, Failure>;

template <typename... Args>
[[nodiscard]] std::unexpected<Failure> usage_error(fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Failure(Exit::kUsage, "usage", fmt::format(format, std::forward<Args>(args)...)));
}

[[nodiscard]] json::object to_json(const Failure& failure);

}  // namespace skerry::cli

namespace skerry {
// So that TRY and TRY_ASSIGN pass a Failure on.
[[nodiscard]] inline std::unexpected<cli::Failure> pass(cli::Failure&& failure) {
  return std::unexpected(std::move(failure));
}
[[nodiscard]] inline std::unexpected<cli::Failure> pass(cli::Failure&& failure, std::string_view what) {
  failure.message = fmt::format("{}: {}", what, failure.message);
  return std::unexpected(std::move(failure));
}
}  // namespace skerry
