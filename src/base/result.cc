#include "base/result.h"

#include <cstring>

namespace skerry {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return "invalid_argument";
    case ErrorCode::kNotFound: return "not_found";
    case ErrorCode::kConflict: return "conflict";
    case ErrorCode::kUnauthorized: return "unauthorized";
    case ErrorCode::kForbidden: return "forbidden";
    case ErrorCode::kTooLarge: return "too_large";
    case ErrorCode::kTooMany: return "too_many";
    case ErrorCode::kTimeout: return "timeout";
    case ErrorCode::kCancelled: return "cancelled";
    case ErrorCode::kUnavailable: return "unavailable";
    case ErrorCode::kNoCapacity: return "no_capacity";
    case ErrorCode::kProtocol: return "protocol";
    case ErrorCode::kFunctionFailed: return "function_failed";
    case ErrorCode::kIo: return "io";
    case ErrorCode::kCorrupt: return "corrupt";
    case ErrorCode::kInternal: return "internal";
  }
  return "internal";
}

ErrorOrigin default_origin(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
    case ErrorCode::kConflict:
    case ErrorCode::kUnauthorized:
    case ErrorCode::kForbidden:
    case ErrorCode::kTooLarge:
    case ErrorCode::kTooMany:
    case ErrorCode::kCancelled: return ErrorOrigin::kClient;
    case ErrorCode::kFunctionFailed: return ErrorOrigin::kFunction;
    case ErrorCode::kInternal: return ErrorOrigin::kBug;
    default: return ErrorOrigin::kHost;
  }
}

Error Error::from_errno(int err, std::string_view what) {
  ErrorCode code = ErrorCode::kIo;
  switch (err) {
    case ENOENT: code = ErrorCode::kNotFound; break;
    case EEXIST: code = ErrorCode::kConflict; break;
    case ENOSPC:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EDQUOT: code = ErrorCode::kNoCapacity; break;
    case ETIMEDOUT: code = ErrorCode::kTimeout; break;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE: code = ErrorCode::kUnavailable; break;
    default: break;
  }
  Error error(code, fmt::format("{}: {}", what, std::strerror(err)));
  error.errno_ = err;
  error.origin_ = ErrorOrigin::kHost;
  return error;
}

}  // namespace skerry
