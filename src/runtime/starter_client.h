// The connection to sandboxd's starter: sends starts and signals, hands on what comes back. Reconnects by itself; while it is away, send() fails.
// Thread: edge's loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "contract/sandbox_messages.h"
#include "loop/loop.h"
#include "os/unix_socket.h"

namespace skerry {

class StarterClient {
 public:
  class Receiver {
   public:
    virtual ~Receiver() = default;
    virtual void on_message(sandbox::StarterMessage message, std::vector<UniqueFd> fds) = 0;
    virtual void on_connected() = 0;
    // Starts that were sent and not answered will not be.
    virtual void on_disconnected() = 0;
  };

  StarterClient(Loop& loop, const Logger& logger, std::string path, Receiver& receiver);

  // Connects, reads until the connection ends, and again, for ever. Run it in a Scope.
  Task<void> run();
  Result<void> send(const sandbox::ClientMessage& message, std::span<const int> fds = {});
  [[nodiscard]] bool connected() const { return connection_.valid(); }

 private:
  Task<void> read_messages();

  Loop& loop_;
  const Logger& logger_;
  std::string path_;
  Receiver& receiver_;
  UniqueFd connection_;
};

}  // namespace skerry
