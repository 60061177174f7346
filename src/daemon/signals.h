// SIGTERM and SIGINT as a descriptor of the loop, and SIGHUP where a process reloads.
#pragma once

#include <functional>

#include "loop/loop.h"

namespace skerry {

// Blocks the two signals in this thread (call before any other thread is made) and runs `on_stop` from the loop each time one comes.
Task<void> watch_stop_signals(Loop& loop, std::function<void()> on_stop);

}  // namespace skerry
