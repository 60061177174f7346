// The root of a container: an overlay of read-only layers, their ids mapped onto the slot's, with a private, size-capped top.
//
// starter's: prepare() moves it into a mount namespace of its own, so that nothing made here is ever seen by the host. What the container's own
// first process does with the root is in skeleton.h.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "contract/plan.h"
#include "sandboxd/settings.h"
#include "sandboxd/slot.h"

namespace skerry::sandbox {

class Mounts {
 public:
  explicit Mounts(const Settings& settings) : settings_(settings) {}
  Result<void> prepare();

  // A detached mount of the root. kNotFound names a layer that is not there.
  Result<UniqueFd> build_root(const StartPlan& plan, const Slot& slot);
  // Takes away what build_root() left attached: the overlay holds what it needs. Waits for the kernel's readers (0.1 to 2 ms), so a start does it
  // when its container runs already; the next build_root() does it otherwise.
  void let_go();

 private:
  Result<void> attach_layer(const Digest& layer, const Slot& slot, int top, const std::string& at);
  Result<UniqueFd> make_top(const StartPlan& plan, const Slot& slot);
  Result<UniqueFd> mount_overlay(size_t layers);

  const Settings& settings_;
  // A tmpfs of ours at work_dir(). At its `t` is the top of the start in hand: `u` and `w` are the overlay's, the layers are attached to 0, 1, ..
  UniqueFd work_;
  bool attached_ = false;
};

}  // namespace skerry::sandbox
