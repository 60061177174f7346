// Delivery: one instance from its start to the end of its logs. Unseals, fills the environment pipe, copies
// both logs scrubbed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "crypto/seal.h"
#include "keeper/log_copier.h"
#include "keeper/poller.h"
#include "keeper/scrubber.h"

namespace skerry::keeper {

// The descriptors of sandbox::Deliver, in its order. Without logs the last four are empty.
struct DeliveryFds {
  UniqueFd sealed;
  UniqueFd environment;
  UniqueFd program_stdout, program_stderr;
  UniqueFd edge_stdout, edge_stderr;
};

// The byte that tells a container's init that there are no secrets to come, in place of an environment.
inline constexpr char kRefusalByte = 0x01;

class Delivery final : public Handler, public LogCopier::Owner {
 public:
  // Opens the sealed secrets (a sealed memfd) and begins. On an error nothing was begun; the caller tells the
  // environment pipe.
  static Result<std::unique_ptr<Delivery>> begin(Poller& poller, const LocationKeypair& keys,
                                                 DeliveryFds& fds);
  ~Delivery() override;

  void on_ready() override;  // the environment pipe takes more
  void log_ended() override { --open_logs_; }
  // Logs over and environment handed over: may be destroyed once the poller's round has ended.
  [[nodiscard]] bool over() const { return open_logs_ == 0 && !environment_.valid(); }
  // Memory that its secrets take.
  [[nodiscard]] size_t secret_bytes() const { return secret_bytes_; }

 private:
  Delivery(Poller& poller, SecretBytes blob, std::span<const SecretView> secrets);
  void prepare_environment(std::span<const SecretView> secrets);
  Result<void> copy_logs(DeliveryFds& fds);
  void end_environment();

  Poller& poller_;
  SecretBytes blob_;  // what patterns_ points into
  Patterns patterns_;
  size_t secret_bytes_;
  SecretBytes environment_bytes_;  // "NAME=value\0"..., until handed over
  size_t environment_sent_ = 0;
  UniqueFd environment_;
  bool environment_watched_ = false;
  std::optional<LogCopier> stdout_, stderr_;
  int open_logs_ = 0;
};

}  // namespace skerry::keeper
