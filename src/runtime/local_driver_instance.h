// What LocalDriver knows of one instance. For the files of LocalDriver only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "loop/latch.h"
#include "runtime/freezer.h"
#include "runtime/local_driver.h"

namespace skerry {

struct LocalDriver::Instance {
  explicit Instance(Loop& loop) : progress(loop), exited(loop) {}

  LogSource source;
  RevisionConfig config;
  uint64_t start_request = 0;
  Event progress;  // Started, StartFailed or Exited came; one waiter, run_instance
  Latch exited;
  bool sent = false;         // sandboxd has the plan
  bool lost = false;         // .. and was killed before it said what became of it
  bool unaccounted = false;  // started by a starter that is gone, and not yet in the list of the next
  bool started = false;
  bool adopted = false;
  StartMode mode = StartMode::kBoot;
  StartPhases phases;
  TimePoint phase_since{};  // the end of the last one
  bool spoke = false;  // its shim said something of this start
  bool ready = false;
  bool stop_asked = false;
  bool reported = false;  // the terminal event went to dispatch
  std::string failed_phase;
  std::string failed_message;
  sandbox::Exited end;

  UniqueFd out, err, status, cpu;
  Freezer freezer;
  std::vector<UniqueFd> sockets;
  Loopback loopback = Loopback::k127;  // where its own server accepts
  LineCutter out_lines, err_lines;
  int logs_ended = 0;
  std::string request_id;
  uint64_t requests = 0;  // beginnings and ends
  std::vector<std::unique_ptr<HttpClientConnection>> idle;
};

}  // namespace skerry
