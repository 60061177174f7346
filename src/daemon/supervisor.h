// Supervisor: the root process that owns the listening sockets, starts the others with exactly the privileges they need, and starts them again
// when they end. It parses no request, opens no network connection and knows no secret. Single-threaded; blocks in sigtimedwait.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "base/log.h"
#include "daemon/config.h"
#include "os/process.h"

namespace skerry {

class Supervisor {
 public:
  static constexpr std::chrono::milliseconds kFirstBackoff{20};
  static constexpr std::chrono::milliseconds kMaxBackoff{5000};
  static constexpr std::chrono::seconds kStable{5};     // a child that lived this long starts again at once
  static constexpr std::chrono::seconds kStopTime{15};  // for all of them together, then SIGKILL

  Supervisor(const Logger& logger, const DaemonConfig& config, std::string config_path, std::string program_dir);

  // Makes the directories and sockets and starts the children. The error says which port or path is the matter.
  Result<void> start();
  // Until SIGTERM or SIGINT; then stops the children in reverse order.
  void run();

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  struct Service {
    std::string name;
    std::vector<std::string> argv;
    ProcessUser user;
    std::vector<std::pair<std::string, int>> sockets;  // name for SKERRY_FDS, descriptor of ours
    bool plain_fd3 = false;                             // one socket, known to be descriptor 3
    pid_t pid = -1;
    SteadyTime started{};
    int64_t started_wall_ms = 0;
    SteadyTime restart_at{};
    std::chrono::milliseconds backoff = kFirstBackoff;
    int restarts = 0;
  };

  Result<void> make_folders();
  Result<void> make_sockets();
  Result<void> make_container_sockets();
  void describe_services();
  Result<void> start_service(Service& service);
  void reap();
  void restart_due();
  void stop_all();
  void write_process_table();

  const Logger& logger_;
  const DaemonConfig& config_;
  std::string config_path_;
  std::string program_dir_;
  std::map<std::string, UniqueFd> sockets_;
  std::vector<Service> services_;  // in start order
};

}  // namespace skerry
