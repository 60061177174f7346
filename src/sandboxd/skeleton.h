// The mount namespace of a container before it has a root: /proc, /sys and /dev, finished, on a tmpfs that holds nothing else.
//
// Both run in the container's first process, as root of the host. make_skeleton() is filler's time: it lets go of every mount of the host, which is
// most of what a new mount namespace costs. enter_root() is the start's: it moves the finished trees below the root and makes it the whole world.
#pragma once

#include <string>

#include "base/result.h"

namespace skerry::sandbox {

// In a new mount, pid and ipc namespace. `at` is any folder: the skeleton covers it for a moment.
Result<void> make_skeleton(const std::string& at);

// `root` is a detached mount. Every process of this mount namespace that has "/" as its root and working directory has the new one afterwards.
Result<void> enter_root(int root);

// Attaches a detached tree at `path`, a folder of the root. SECURITY: the root has nothing of a tenant yet, and still no link in it is followed.
Result<void> attach_tree(int tree, const std::string& path);

// After enter_root(), with the working directory as it left it: takes the skeleton away. A call of its own because it waits for the kernel's readers
// (0.1 to 2 ms), and what is left of the skeleton by then is an empty read-only folder.
Result<void> let_go_of_old_root();

}  // namespace skerry::sandbox
