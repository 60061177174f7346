// DevFolder: the folder of one local session of `skerry dev`, /var/lib/skerry-dev/<tag>, and the removal of
// everything that the session's skerryd made on this machine.
//
// A session holds the lock in its folder for as long as it lives; a folder whose lock is free belongs to a
// dead one. Needs root. Used by dev_skerry.cc and dev_guard.cc.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry::cli {

inline constexpr std::string_view kDevBase = "/var/lib/skerry-dev";
inline constexpr int kSweepTimeMs = 30'000;  // sandboxd gives itself 10 s for processes that do not end

struct DevFolder {
  std::string tag;  // of the session's control groups, interfaces and nft table as well
  std::string path;
  UniqueFd lock;
  [[nodiscard]] std::string run_dir() const { return path + "/run"; }
  [[nodiscard]] std::string state_dir() const { return path + "/state"; }
  [[nodiscard]] std::string config_path() const { return path + "/skerry.toml"; }
  [[nodiscard]] std::string log_path() const { return path + "/skerryd.log"; }
  [[nodiscard]] std::string ca_path() const { return path + "/ca.pem"; }
};

// A new folder with a tag of its own, locked, and in it the subnet that no live session and nothing on this
// machine has. `subnet` receives it.
Result<DevFolder> make_dev_folder(std::string& subnet);

// Ends and removes what the session with this folder left: containers, control groups, interfaces, the nft
// table, mounts, and at last the folder. Its skerryd has ended or is about to. Where something stays, the
// folder stays too, and the error says what.
Result<void> clear_dev_folder(const std::string& programs, const std::string& tag, const std::string& path);

// The same for every session that is dead. `failed` is told of each that could not be cleared.
void clear_dead_sessions(const std::string& programs, const std::function<void(const Error&)>& failed);

}  // namespace skerry::cli
