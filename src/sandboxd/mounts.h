// The file system of a container: an overlay of read-only layers with a private, size-capped top, and the pseudo file systems inside.
//
// prepare() runs once in starter and moves it into a mount namespace of its own: nothing made here is ever seen by the host. build_root() runs
// in starter, per start; enter_root() in the container's first process.
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

  // In the container's own mount and pid namespace, as root of the host: makes `root` the whole world. Leaves the working directory at "/".
  Result<void> enter_root(int root);

 private:
  Result<void> make_device_tree();
  Result<void> attach_layer(const Digest& layer, const Slot& slot, const std::string& at);
  Result<void> make_top(const StartPlan& plan, const Slot& slot);
  Result<UniqueFd> mount_overlay(size_t layers);
  Result<void> cover(int proc, const char* path);

  const Settings& settings_;
  // A tmpfs of ours at <run_dir>/mnt: layers are attached there while an overlay is made of them; `dev` has the standard device nodes and
  // `none` is an empty read-only folder, copies of which every container gets.
  UniqueFd work_;
};

}  // namespace skerry::sandbox
