#include "cli/dev_stop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

namespace skerry::cli {

DevStop::DevStop(int ended_fd)
    : stopped_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      over_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set, s);
  ::pthread_sigmask(SIG_BLOCK, &set, &before_);
  signal_fd_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  thread_ = std::thread([this, ended_fd] { wait(ended_fd); });
}

DevStop::~DevStop() {
  ::eventfd_write(over_fd_.get(), 1);
  thread_.join();
  // Taken off the queue: a signal that is still pending when the mask is restored would end the process.
  signalfd_siginfo taken{};
  while (::read(signal_fd_.get(), &taken, sizeof taken) > 0) {
  }
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void DevStop::wait(int ended_fd) {
  pollfd fds[] = {{signal_fd_.get(), POLLIN, 0}, {over_fd_.get(), POLLIN, 0}, {ended_fd, POLLIN, 0}};
  while (::poll(fds, 3, -1) < 0 && errno == EINTR) {
  }
  ended_ = fds[0].revents == 0 && fds[2].revents != 0;
  stopped_ = true;
  ::eventfd_write(stopped_fd_.get(), 1);
}

}  // namespace skerry::cli
