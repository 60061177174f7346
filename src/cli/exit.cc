#include "cli/exit.h"

namespace skerry::cli {
namespace {

Exit exit_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return Exit::kUsage;
    case ErrorCode::kNotFound:
      return Exit::kNotFound;
    case ErrorCode::kUnauthorized:
    case ErrorCode::kForbidden:
      return Exit::kAuth;
    case ErrorCode::kTooLarge:
    case ErrorCode::kTooMany:
    case ErrorCode::kNoCapacity:
      return Exit::kLimit;
    case ErrorCode::kUnavailable:
    case ErrorCode::kTimeout:
      return Exit::kUnreachable;
    case ErrorCode::kFunctionFailed:
      return Exit::kBuildFailed;
    default:
      return Exit::kFailed;
  }
}

}  // namespace

Failure::Failure(const Error& error)
    : exit(exit_of(error.code())), code(to_string(error.code())), message(error.message()) {}

json::object to_json(const Failure& failure) {
  json::object error{
      {"code", failure.code}, {"message", failure.message}, {"exit_code", static_cast<int>(failure.exit)}};
  if (!failure.hint.empty()) error["hint"] = failure.hint;
  if (!failure.request_id.empty()) error["request_id"] = failure.request_id;
  if (!failure.details.empty()) error["details"] = failure.details;
  return json::object{{"error", std::move(error)}};
}

}  // namespace skerry::cli
