#include "cli/folder_watch.h"

#include <poll.h>
#include <sys/inotify.h>

#include <chrono>

namespace skerry::cli {

Result<FolderWatch> FolderWatch::make(const std::vector<std::string>& folders) {
  FolderWatch out;
  out.fd_ = UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!out.fd_) return fail_errno("inotify_init");
  for (const std::string& folder : folders) {
    const uint32_t mask =
        IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR;
    // A folder that has just gone is no mistake: its parent says so.
    if (::inotify_add_watch(out.fd_.get(), folder.c_str(), mask) < 0 && errno != ENOENT && errno != ENOTDIR)
      return fail_errno("watch `{}`", folder);
  }
  return out;
}

bool FolderWatch::drain() {
  alignas(inotify_event) char buffer[16384];
  bool any = false;
  while (::read(fd_.get(), buffer, sizeof buffer) > 0) any = true;
  return any;
}

Result<FolderWatch::Woken> FolderWatch::wait(int stop_fd) {
  using Clock = std::chrono::steady_clock;
  bool changed = false;
  Clock::time_point last_call;
  for (;;) {
    pollfd fds[] = {{fd_.get(), POLLIN, 0}, {stop_fd, POLLIN, 0}};
    const int ready = ::poll(fds, 2, changed ? kQuietMs : -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return fail_errno("poll");
    if (fds[1].revents != 0) return Woken::kStopped;
    if (ready == 0) return Woken::kChanged;
    if (drain() && !changed)
      changed = true, last_call = Clock::now() + std::chrono::milliseconds(kMaxUnquietMs);
    if (changed && Clock::now() >= last_call) return Woken::kChanged;
  }
}

}  // namespace skerry::cli
