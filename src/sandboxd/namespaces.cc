#include "sandboxd/namespaces.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/file.h"

namespace skerry::sandbox {

Result<void> write_text(const std::string& path, std::string_view text) {
  TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, path, O_WRONLY));
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) return fail_errno("write `{}` to `{}`", text, path);
  return {};
}

Result<UniqueFd> make_user_namespace(uint32_t inside, uint32_t outside, uint32_t count) {
  // A user namespace needs a process to be made; it is gone as soon as the descriptor is open.
  const pid_t parent = ::getpid();
  clone_args args{};
  args.flags = CLONE_NEWUSER;
  args.exit_signal = SIGCHLD;
  const pid_t pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
  if (pid < 0) return fail_errno("clone3(CLONE_NEWUSER)");
  if (pid == 0) {
    // Goes with its parent; without a parent already, at once.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::getppid() != parent) ::_exit(0);
    for (;;) ::pause();
  }
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
