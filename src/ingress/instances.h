// What ingress needs of the rest of edge, stated here and wired in daemon/: places in instances, the meter, the routes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "contract/driver.h"
#include "net/http_client.h"

namespace skerry {

// The caller of a waiting request may go away: cancel() then runs what the waiter put in.
class CancelToken {
 public:
  void cancel() {
    cancelled_ = true;
    if (on_cancel_) on_cancel_();
  }
  [[nodiscard]] bool cancelled() const { return cancelled_; }
  void on_cancel(std::function<void()> callback) { on_cancel_ = std::move(callback); }

 private:
  bool cancelled_ = false;
  std::function<void()> on_cancel_;
};

// Why an instance ended, where that is known.
enum class Death : uint8_t { kAlive, kExited, kOutOfMemory };

class Instances {
 public:
  virtual ~Instances() = default;
  // See Dispatcher::lease for the errors.
  virtual Task<Result<Lease>> lease(RevisionId revision, TimePoint deadline, CancelToken& cancel) = 0;
  virtual void release(const Lease& lease, LeaseEnd end) = 0;
  virtual Task<Result<std::unique_ptr<HttpClientConnection>>> connect(InstanceId instance, TimePoint deadline) = 0;
  virtual void keep(const InstanceId& instance, std::unique_ptr<HttpClientConnection> connection) = 0;
  // The instance's log lines carry this request's id until it is set to "".
  virtual void set_request(const InstanceId& instance, std::string_view request_id) = 0;
  virtual uint64_t cpu_us(const InstanceId& instance) = 0;
  // Waits a moment for the end of an instance whose connection broke.
  virtual Task<Death> death(InstanceId instance, TimePoint deadline) = 0;
};

// One request as it is billed.
struct Measured {
  FunctionId function;
  RevisionId revision;
  std::string_view request_id;
  StartMode mode = StartMode::kWarm;
  int status = 0;
  int64_t start_wall_ms = 0;
  uint64_t wall_us = 0;
  uint64_t cpu_us = 0;
  uint32_t memory_mb = 0;
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
};

class Meter {
 public:
  virtual ~Meter() = default;
  // Written before the last byte is sent. The number marks it sent afterwards.
  virtual Result<uint64_t> append(const Measured& request) = 0;
  virtual void mark_sent(uint64_t record) = 0;
};

}  // namespace skerry
