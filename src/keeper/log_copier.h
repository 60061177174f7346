// LogCopier: one stream of one instance, from the program's pipe to edge's, scrubbed. Never blocks; bounded;
// ends with the stream.
//
// Bytes are passed on as they come, not line by line: edge makes the lines. What may be the beginning of a
// secret waits for its end, so a line that ends like a secret of several lines begins may come late, with the
// next output or the end.
#pragma once

#include <string>

#include "base/unique_fd.h"
#include "keeper/poller.h"
#include "keeper/scrubber.h"

namespace skerry::keeper {

inline constexpr size_t kCopyReadBytes =
    16 * 1024;  // one read; together with what the scrubber holds back under 64 KB a stream
inline constexpr size_t kCopyOutBytes = 16 * 1024;  // waiting to be written, and one replacement more
inline constexpr int kCopyRounds = 4;               // reads in a row, before other instances have their turn

class LogCopier final : public Handler {
 public:
  // Both descriptors are non-blocking pipe ends. `ended` is called once, from on_ready, when the stream is
  // over.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void log_ended() = 0;
  };
  LogCopier(Poller& poller, const Patterns& patterns, UniqueFd source, UniqueFd sink, Owner& owner);
  ~LogCopier() override;

  Result<void> start();
  void on_ready() override;

 private:
  enum class Step { kAgain, kWait, kEnded };
  Step write_out();
  Step read_in();
  void wait_for(int fd, uint32_t events);
  void end();

  Poller& poller_;
  Scrubber scrubber_;
  UniqueFd source_;
  UniqueFd sink_;
  Owner& owner_;
  std::string out_;
  int watched_ = -1;
  bool source_ended_ = false;
  bool sink_gone_ =
      false;  // nobody reads: what comes is dropped, so that the program is not stopped by its own log
};

}  // namespace skerry::keeper
