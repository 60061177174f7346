// Result<T> and Error: how every room reports what went wrong.
//
// An Error says what failed, for whom (origin), the errno where there was one, and gains context at every hop:
//   "start instance 01HV..: mount layer sha256:ab..: open_tree: No such file or directory".
// Nothing a caller, a function, a message or a file can cause may assert or throw out of a room; it becomes an Error.
// Thread-compatible value types; no allocation on the success path.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace skerry {

// Stable kinds of failure. gateway/api_status.h maps them to the API's statuses; ingress answers by CONTRACT section 7.
enum class ErrorCode {
  kInvalidArgument,   // the caller's input is wrong
  kNotFound,
  kConflict,          // exists already, or changed under the caller
  kUnauthorized,
  kForbidden,
  kTooLarge,          // over a named limit
  kTooMany,           // a rate, a queue or a count is full
  kTimeout,
  kCancelled,         // the caller went away
  kUnavailable,       // a process or a dependency is not there now
  kNoCapacity,        // memory, disk, descriptors
  kProtocol,          // the peer broke its protocol
  kFunctionFailed,    // the tenant's code or build failed
  kIo,                // the operating system refused
  kCorrupt,           // a file or record fails its checksum or version
  kInternal,          // a bug in Skerry
};

// Who has to act.
enum class ErrorOrigin { kClient, kFunction, kHost, kBug };

[[nodiscard]] std::string_view to_string(ErrorCode code);
[[nodiscard]] ErrorOrigin default_origin(ErrorCode code);

class [[nodiscard]] Error {
 public:
  Error(ErrorCode code, std::string message) : code_(code), origin_(default_origin(code)), message_(std::move(message)) {}

  // An Error of a system call that failed with errno `err`; `what` names the call and its object: "open `/x`".
  static Error from_errno(int err, std::string_view what);

  [[nodiscard]] ErrorCode code() const { return code_; }
  [[nodiscard]] ErrorOrigin origin() const { return origin_; }
  [[nodiscard]] int sys_errno() const { return errno_; }
  [[nodiscard]] const std::string& message() const { return message_; }

  // Puts "`what`: " in front of the message. Used on the way up.
  Error&& context(std::string_view what) && {
    message_ = fmt::format("{}: {}", what, message_);
    return std::move(*this);
  }
  Error&& with_origin(ErrorOrigin origin) && {
    origin_ = origin;
    return std::move(*this);
  }

 private:
  ErrorCode code_;
  ErrorOrigin origin_;
  int errno_ = 0;
  std::string message_;
};

template <typename T = void>
using Result = std::expected<T, Error>;

// `return fail(ErrorCode::kNotFound, "no function `{}`", name);`
template <typename... Args>
[[nodiscard]] std::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error(code, fmt::format(format, std::forward<Args>(args)...)));
}

// `return fail_errno("open `{}`", path);` Reads errno first.
template <typename... Args>
[[nodiscard]] std::unexpected<Error> fail_errno(fmt::format_string<Args...> format, Args&&... args) {
  const int err = errno;
  return std::unexpected(Error::from_errno(err, fmt::format(format, std::forward<Args>(args)...)));
}

// Passes an error on with context: `return pass(std::move(r).error(), "read manifest");`
[[nodiscard]] inline std::unexpected<Error> pass(Error&& error) { return std::unexpected(std::move(error)); }
[[nodiscard]] inline std::unexpected<Error> pass(Error&& error, std::string_view what) {
  return std::unexpected(std::move(error).context(what));
}

// Propagation. TRY(expr) for Result<void>; TRY_ASSIGN(auto x, expr) binds the value. Optional context as last argument.
#define SKERRY_CONCAT_(a, b) a##b
#define SKERRY_CONCAT(a, b) SKERRY_CONCAT_(a, b)
#define TRY(expr, ...)                                                                          \
  do {                                                                                          \
    if (auto skerry_r_ = (expr); !skerry_r_)                                                    \
      return ::skerry::pass(std::move(skerry_r_).error() __VA_OPT__(, ) __VA_ARGS__);           \
  } while (false)
#define TRY_ASSIGN_(tmp, decl, expr, ...)                                                       \
  auto tmp = (expr);                                                                            \
  if (!tmp) return ::skerry::pass(std::move(tmp).error() __VA_OPT__(, ) __VA_ARGS__);           \
  decl = std::move(*tmp)
#define TRY_ASSIGN(decl, expr, ...) TRY_ASSIGN_(SKERRY_CONCAT(skerry_r_, __LINE__), decl, expr __VA_OPT__(, ) __VA_ARGS__)

}  // namespace skerry
