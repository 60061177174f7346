#include "daemon/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace skerry {

Task<void> watch_stop_signals(Loop& loop, std::function<void()> on_stop) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  const UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) co_return;
  FdWatch watch(loop, fd.get());
  for (;;) {
    signalfd_siginfo info{};
    if (::read(fd.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) on_stop();
    else (void)co_await watch.readable().wait();
  }
}

}  // namespace skerry
