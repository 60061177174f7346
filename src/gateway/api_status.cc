#include "gateway/api_status.h"

namespace skerry {

ApiStatus api_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kProtocol: return {400, "bad_request"};
    case ErrorCode::kUnauthorized: return {401, "unauthorized"};
    case ErrorCode::kForbidden: return {403, "forbidden"};
    case ErrorCode::kNotFound: return {404, "not_found"};
    case ErrorCode::kConflict: return {409, "conflict"};
    case ErrorCode::kTooLarge: return {413, "too_large"};
    case ErrorCode::kTooMany: return {429, "limit_reached"};
    case ErrorCode::kNoCapacity: return {507, "no_space"};
    case ErrorCode::kUnavailable:
    case ErrorCode::kTimeout: return {503, "unavailable"};
    default: return {500, "internal"};
  }
}

}  // namespace skerry
