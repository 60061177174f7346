// The root of a container: an overlay of read-only layers, their ids mapped onto the slot's, with a private, size-capped top.
//
// starter's: prepare() moves it into a mount namespace of its own, so that nothing made here is ever seen by the host. What the container's own
// first process does with the root is in skeleton.h.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "contract/plan.h"
#include "sandboxd/settings.h"
#include "sandboxd/slot.h"

namespace skerry::sandbox {

class Mounts {
 public:
  static constexpr size_t kMaxKnownLayers = 4096;

  explicit Mounts(const Settings& settings) : settings_(settings) {}
  Result<void> prepare();

  struct Root {
    UniqueFd mount;  // detached
    UniqueFd top;    // of a spare: its writable top, detached, to be given to build_parts() later
  };
  // `disk` is the mount of the plan's scratch disk, invalid where the top is memory. kNotFound names a layer that is not there.
  Result<Root> build_root(const StartPlan& plan, const Slot& slot, UniqueFd disk);

  // What a spare lacks to become an instance of `plan`: a detached overlay for each folder that the layers above the runtime's belong to, with its
  // writable top in the spare's own.
  Result<std::vector<std::pair<std::string, UniqueFd>>> build_parts(const StartPlan& plan, const Slot& slot, UniqueFd top);

  // Takes away what building left attached: the overlays hold what they need. Waits for the kernel's readers (0.1 to 2 ms), so a start does it
  // when its container runs already; the next one does it otherwise.
  void let_go();

 private:
  Result<void> attach_layer(const Digest& layer, const std::string& subfolder, const Slot& slot, int top, const std::string& at);
  Result<UniqueFd> make_top(const StartPlan& plan, const Slot& slot, UniqueFd disk);
  Result<void> attach_top(int top);
  Result<UniqueFd> mount_overlay(const std::string& lower, const std::string& upper, const std::string& work);
  Result<std::string> subfolder_of(const Digest& layer);

  const Settings& settings_;
  // A tmpfs of ours at work_dir(). At its `t` is the top of the start in hand: `u` and `w` are the overlay's, the layers are attached to 0, 1, ..
  UniqueFd work_;
  bool attached_ = false;
  std::unordered_map<std::string, std::string> subfolders_;  // of layers by digest: they never change
};

// /etc/hosts and /etc/hostname of a container that had another name before. In its own mount namespace.
Result<void> write_hostname_files(const std::string& hostname);

}  // namespace skerry::sandbox
