// The headers that ingress adds, drops and rewrites, in both directions (CONTRACT section 6). Pure functions over strings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random_pool.h"
#include "contract/driver.h"
#include "http/head.h"

namespace skerry {

inline constexpr int kMaxHops = 8;  // calls between functions; one more is a loop
inline constexpr std::string_view kHopsHeader = "x-skerry-hops";

// The caller's id where it is well formed ([A-Za-z0-9._-], 1..128), else a new ULID.
[[nodiscard]] std::string request_id_of(const http::RequestHead& head, RandomPool& random);
// The hop count that came in; kMaxHops + 1 for anything that is not a small number.
[[nodiscard]] int hops_of(const http::RequestHead& head);

struct Caller {
  std::string_view address;  // without port
  std::string_view scheme;   // "https" or "http"
  std::string_view request_id;
  int hops = 0;
};

// The request's head as the instance gets it: framing rewritten, hop-by-hop and spoofable headers gone, ours added, ready to be written.
[[nodiscard]] std::string upstream_head(const http::RequestHead& head, const Caller& caller, RandomPool& random);

// Complete lines for Exchange::begin: the function's own headers without hop-by-hop, framing and ours.
[[nodiscard]] std::string downstream_headers(const http::ResponseHead& head);
// x-request-id, x-skerry-location and server-timing: start, queue and fn always; after a start that this request waited for, where its time went.
struct Timing {
  StartMode mode = StartMode::kWarm;
  Duration queued{};  // the start included
  Duration start{};
  Duration function{};
  StartPhases phases;
};
// "slot;dur=0.1, mount;dur=0.7, ...", in milliseconds; empty where there was no start.
[[nodiscard]] std::string phases_text(const StartPhases& phases);
[[nodiscard]] std::string platform_headers(std::string_view request_id, std::string_view location, const Timing* timing);

}  // namespace skerry
