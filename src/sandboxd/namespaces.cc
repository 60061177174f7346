#include "sandboxd/namespaces.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/file.h"
#include "os/process.h"

namespace skerry::sandbox {
namespace {

// Another effective user, with all capabilities kept, for as long as it lives.
class ActingAs {
 public:
  explicit ActingAs(uid_t user)
      : parent_(::getppid()),
        death_signal_known_(::prctl(PR_GET_PDEATHSIG, &death_signal_, 0, 0, 0) == 0),
        done_(::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0 && ::seteuid(user) == 0) {}
  ActingAs(const ActingAs&) = delete;
  ActingAs& operator=(const ActingAs&) = delete;
  ~ActingAs() {
    // What follows needs root.
    if (::seteuid(0) != 0 || ::prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) != 0) ::abort();
    // The kernel disarms the parent-death signal when the effective user changes; without it this process would outlive skerryd.
    if (!death_signal_known_ || death_signal_ == 0) return;
    if (::prctl(PR_SET_PDEATHSIG, death_signal_, 0, 0, 0) != 0 || ::getppid() != parent_) ::_exit(1);
  }
  [[nodiscard]] bool done() const { return done_; }

 private:
  const pid_t parent_;
  int death_signal_ = 0;
  const bool death_signal_known_;
  const bool done_;
};

// A process in a user namespace of its own, there only until the namespace is held otherwise.
// SECURITY: what the processes of a user namespace take (inotify instances, queued signals, processes) counts for the user who made it, too, and
// against one limit. Made by root, all containers and the host would share one count, and one container could use it up for everybody.
pid_t clone_into_namespace_of(uid_t owner) {
  const pid_t parent = ::getpid();
  const ActingAs user(owner);
  if (!user.done()) return -1;
  const pid_t pid = fork_into(CLONE_NEWUSER, nullptr);
  if (pid != 0) return pid;
  // Goes with its parent; without a parent already, at once.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::getppid() != parent) ::_exit(0);
  for (;;) ::pause();
}

}  // namespace

Result<void> write_text(const std::string& path, std::string_view text) {
  TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, path, O_WRONLY));
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) return fail_errno("write `{}` to `{}`", text, path);
  return {};
}

Result<UniqueFd> make_user_namespace(uint32_t inside, uint32_t outside, uint32_t count) {
  // A user namespace needs a process to be made; it is gone as soon as the descriptor is open.
  const pid_t pid = clone_into_namespace_of(outside);
  if (pid < 0) return fail_errno("fork into a user namespace");
  const auto open_mapped = [&]() -> Result<UniqueFd> {
    const std::string map = fmt::format("{} {} {}", inside, outside, count);
    const std::string proc = fmt::format("/proc/{}", pid);
    TRY(write_text(proc + "/uid_map", map));
    TRY(write_text(proc + "/gid_map", map));
    return open_at(AT_FDCWD, proc + "/ns/user", O_RDONLY);
  };
  auto result = open_mapped();
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return result;
}

Result<void> in_net_namespace(int net_namespace, const std::function<Result<void>()>& work) {
  TRY_ASSIGN(const UniqueFd home, open_at(AT_FDCWD, "/proc/self/ns/net", O_RDONLY));
  if (::setns(net_namespace, CLONE_NEWNET) != 0) return fail_errno("enter the network namespace");
  auto result = work();
  // Without a way home everything after would happen in a tenant's namespace.
  if (::setns(home.get(), CLONE_NEWNET) != 0) ::abort();
  return result;
}

Result<UniqueFd> make_net_namespace() {
  TRY_ASSIGN(const UniqueFd home, open_at(AT_FDCWD, "/proc/self/ns/net", O_RDONLY));
  if (::unshare(CLONE_NEWNET) != 0) return fail_errno("unshare(CLONE_NEWNET)");
  auto made = open_at(AT_FDCWD, "/proc/self/ns/net", O_RDONLY);
  if (::setns(home.get(), CLONE_NEWNET) != 0) ::abort();
  return made;
}

}  // namespace skerry::sandbox
