// reaper: removes what containers leave: processes, control groups, sockets and state files. Root, one thread, never in anybody's way.
//
// Told of each end by starter; sweeps what nobody told it of (starter died in between) when it starts and once a minute. sweep_everything() is
// `make down`: nothing of ours stays on the machine.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "base/log.h"
#include "os/unix_socket.h"
#include "sandboxd/cgroups.h"
#include "sandboxd/poller.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

class Reaper {
 public:
  Reaper(const Settings& settings, const Logger& logger) : settings_(settings), logger_(logger) {}
  Result<void> prepare(UniqueFd listener);
  void run(const volatile bool& stop);

  // Ends every container and removes every group, interface, table and mount. Prints what it removed.
  Result<void> sweep_everything();

 private:
  void accept_client();
  void remove_files(const std::string& id);
  // True when the group is gone.
  bool remove_group(const std::string& group);
  void sweep_orphans();

  const Settings& settings_;
  const Logger& logger_;
  std::unique_ptr<Cgroups> cgroups_;
  Poller poller_;
  UniqueFd listener_;
  std::unordered_map<int, UniqueFd> clients_;
  std::set<std::string> groups_;      // to be removed, tried until they are empty
  std::set<std::string> suspected_;   // had no process at the last sweep
};

}  // namespace skerry::sandbox
