// Proxy: one request from the internet through an instance and back. The walk is in docs/ARCHITECTURE.md, "A request".
//
// Thread: its loop's. Everything else of edge is reached through the interfaces of instances.h.
#pragma once

#include <memory>
#include <string>

#include "ingress/access_log.h"
#include "ingress/call_depths.h"
#include "ingress/headers.h"
#include "ingress/instances.h"
#include "ingress/route_table.h"
#include "loop/scope.h"
#include "net/http_server.h"

namespace skerry {

struct ProxySettings {
  std::string location;
  Duration stream_idle = std::chrono::milliseconds(limits::kStreamIdleMs);
  Duration stream_max = std::chrono::milliseconds(limits::kStreamMaxMs);
  Duration settle_time = std::chrono::seconds(5);  // CONTRACT: after the caller went away, then the instance is killed
};

// Who is at the other end of a client's connection.
struct Peer {
  std::string address;        // without its port
  std::string_view scheme;    // "https" or "http"
  uint32_t container = 0;     // the address in numbers, host byte order, where it is one of our containers'
};

class Proxy {
 public:
  Proxy(Loop& loop, AccessLog& access_log, const ProxySettings& settings, Instances& instances, Meter& meter);

  // Replaces the routes for new requests.
  void set_routes(std::shared_ptr<const RouteTable> routes) { routes_ = std::move(routes); }
  // Whether the certificate in use covers a host; asked only for hosts without a route.
  void set_covers(std::function<bool(const std::string&)> covers) { covers_ = std::move(covers); }

  // Where instances call from is told to it.
  [[nodiscard]] CallDepths& depths() { return depths_; }

  Task<void> handle(Exchange& exchange, const Peer& peer);

 private:
  struct Request;  // the state of one request, in handle's frame
  enum class Outcome : uint8_t { kDone, kRetry };

  Task<void> serve(Request& r);
  // One attempt on one instance. kRetry only when the instance has certainly not seen a byte.
  Task<Outcome> attempt(Request& r);
  Task<void> upload(Request& r);
  Task<Result<void>> send_request(Request& r);
  Task<void> relay_answer(Request& r, const http::ResponseHead& head);
  Task<void> relay_upgrade(Request& r, const http::ResponseHead& head);
  Task<void> answer_failure(Request& r, Error error);
  Task<void> fail_with(Request& r, int status, std::string_view code, std::string_view message, std::string_view headers = {});
  Task<void> refuse_lease(Request& r, const Error& error);
  void measure(Request& r);
  void log_request(const Request& r);
  // Lets an instance whose caller is gone finish, then gives its place back or has it killed.
  Task<void> settle(Lease lease, int hops, std::unique_ptr<HttpClientConnection> connection);
  // Hands the connection to settle(); the request itself is over for the instance's place.
  void detach(Request& r);
  // Closes the connection and has the instance killed.
  void drop(Request& r);
  void give_back(Request& r, LeaseEnd end);

  Loop& loop_;
  AccessLog& access_log_;
  RandomPool random_;
  const ProxySettings& settings_;
  Instances& instances_;
  Meter& meter_;
  // Shared with the requests that began with it.
  std::shared_ptr<const RouteTable> routes_ = std::make_shared<const RouteTable>();
  std::function<bool(const std::string&)> covers_;
  uint64_t pick_ = 0;
  CallDepths depths_;
  Scope settling_;
};

}  // namespace skerry
