// AccessLog: one JSON line a request, by the process's logger, written when the loop has nothing else to do: one write for all requests of a round.
//
// proxy.h calls it after a request's last byte; a process that is killed may lose the lines of its last round, nothing that is billed. Thread: its loop's.
#pragma once

#include <string>

#include "base/log.h"
#include "loop/loop.h"

namespace skerry {

class AccessLog {
 public:
  // `sample`: of requests that went well, the part that is written, 0..1. Answers of 500 and above are always written.
  AccessLog(Loop& loop, const Logger& logger, double sample) : loop_(loop), logger_(logger), sample_(sample) {}
  ~AccessLog() { flush(); }
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Whether the next request is to be told of; then append() is called.
  [[nodiscard]] bool wants(int status);
  void append(std::initializer_list<LogField> fields);
  // For what is not about one request.
  [[nodiscard]] const Logger& logger() const { return logger_; }

 private:
  static constexpr size_t kMaxWaitingBytes = 4096;  // PIPE_BUF: whole, where other processes write to the same pipe
  void flush();

  Loop& loop_;
  const Logger& logger_;
  double sample_;
  double owed_ = 0;  // lines, of requests that were left out: evenly spread, no dice
  std::string lines_;
};

}  // namespace skerry
