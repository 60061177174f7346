// DevLogs: a function's log on standard output for its lifetime, over a connection of its own. A broken
// stream is taken up again after the last line seen. Used by dev_loop.cc.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "cli/gateway.h"
#include "cli/session.h"

namespace skerry::cli {

class DevLogs {
 public:
  DevLogs(std::unique_ptr<Gateway> gateway, const Terminal& terminal, std::string name, std::string since,
          OutputForm form);
  ~DevLogs();
  DevLogs(const DevLogs&) = delete;
  DevLogs& operator=(const DevLogs&) = delete;

 private:
  void follow();

  std::unique_ptr<Gateway> gateway_;
  const Terminal& terminal_;
  std::string name_;
  std::string since_;
  OutputForm form_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace skerry::cli
