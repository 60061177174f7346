#include "sandboxd/container.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "os/file.h"
#include "sandboxd/namespaces.h"
#include "sandboxd/seccomp_policy.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {
namespace {

constexpr size_t kMaxSecretBytes = 2U << 20;
constexpr int kSecretsTimeoutMs = 5000;
constexpr int kReportFd = 5;  // in init, after everything else was closed

struct Context {
  const StartPlan& plan;
  const Slot& slot;
  int root;
  const ProgramFds& fds;
  Mounts& mounts;
  const std::vector<sock_filter>& filter;
  int report;
};

// False when starter is gone.
bool send_report(int fd, const Report& report) {
  // Smaller than PIPE_BUF: whole or not at all.
  return ::write(fd, &report, sizeof report) == static_cast<ssize_t>(sizeof report);
}

[[noreturn]] void give_up(int fd, const char* phase, const Error& error) {
  Report report;
  report.status = static_cast<int>(error.code());
  std::strncpy(report.phase, phase, sizeof report.phase - 1);
  std::strncpy(report.message, error.message().c_str(), sizeof report.message - 1);
  (void)send_report(fd, report);
  ::_exit(127);
}

Result<void> set_limit(int resource, rlim_t soft, rlim_t hard) {
  const rlimit limit{soft, hard};
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) return fail_errno("resource limit {}", resource);
  return {};
}

Result<void> enter_namespaces(const Context& c) {
  // When the machine itself runs out of memory, functions go before anything else. Where it cannot be said, the kernel's own order stands.
  (void)write_text("/proc/self/oom_score_adj", "500");
  for (const UniqueFd& tasks : c.slot.tasks)
    if (::write(tasks.get(), "0", 1) != 1) return fail_errno("enter the control group");
  // After the attach, so that the container's view of cgroups begins at its own.
  if (::unshare(CLONE_NEWCGROUP) != 0) return fail_errno("cgroup namespace");
  if (::setns(c.slot.net_namespace.get(), CLONE_NEWNET) != 0) return fail_errno("network namespace");
  if (::sethostname(c.plan.hostname.c_str(), c.plan.hostname.size()) != 0) return fail_errno("hostname");
  return c.mounts.enter_root(c.root);
}

// From root of the host to nobody: `user` in the slot's user namespace, without a single capability.
Result<void> renounce(const Context& c, uid_t user) {
  if (::setns(c.slot.user_namespace.get(), CLONE_NEWUSER) != 0) return fail_errno("user namespace");
  if (::setgroups(0, nullptr) != 0) return fail_errno("setgroups");
  if (::setresgid(user, user, user) != 0) return fail_errno("setresgid");
  if (::setresuid(user, user, user) != 0) return fail_errno("setresuid");
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return fail_errno("drop capability {}", capability);
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return fail_errno("ambient capabilities");
  // The ids changed from one unmapped to a mapped one, so the kernel's own rule did not clear them.
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2] = {};
  if (::syscall(SYS_capset, &header, none) != 0) return fail_errno("capset");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("no_new_privs");
  return {};
}

Result<void> set_limits(const Limits& l) {
  TRY(set_limit(RLIMIT_CORE, 0, 0));
  TRY(set_limit(RLIMIT_NOFILE, l.max_open_files, l.max_open_files));
  TRY(set_limit(RLIMIT_FSIZE, l.scratch_bytes, l.scratch_bytes));
  TRY(set_limit(RLIMIT_MEMLOCK, 8 << 20, 8 << 20));
  return set_limit(RLIMIT_MSGQUEUE, 0, 0);
}

// "NAME=value\0" records from keeper; a first byte 0x01 means that it could not open them.
Result<std::vector<std::string>> read_secrets(int fd) {
  std::string bytes;
  for (;;) {
    pollfd poll_fd{fd, POLLIN, 0};
    if (::poll(&poll_fd, 1, kSecretsTimeoutMs) <= 0) return fail(ErrorCode::kTimeout, "keeper did not deliver the secrets in time");
    char buffer[16384];
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return fail_errno("read secrets");
    if (n == 0) break;
    bytes.append(buffer, static_cast<size_t>(n));
    if (bytes.size() > kMaxSecretBytes) return fail(ErrorCode::kTooLarge, "secrets over {} bytes", kMaxSecretBytes);
  }
  // SECURITY: keeper died before it wrote; a function must not start as if it had no secrets.
  if (bytes.empty()) return fail(ErrorCode::kUnavailable, "keeper ended before it delivered the secrets");
  if (bytes.starts_with('\x01')) return fail(ErrorCode::kCorrupt, "keeper could not open the sealed secrets");
  std::vector<std::string> out;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = bytes.find('\0', at);
    if (end == std::string::npos) return fail(ErrorCode::kProtocol, "keeper sent half a secret");
    out.push_back(bytes.substr(at, end - at));
    at = end + 1;
  }
  ::explicit_bzero(bytes.data(), bytes.size());
  return out;
}

// What the plan itself says wins over a secret of the same name (CONTRACT section 3: later wins).
std::vector<std::string> merge_environment(const std::vector<std::string>& plan, std::vector<std::string> secrets) {
  const auto name_of = [](const std::string& entry) { return std::string_view(entry).substr(0, entry.find('=') + 1); };
  std::erase_if(secrets, [&](const std::string& secret) {
    return std::any_of(plan.begin(), plan.end(), [&](const std::string& entry) { return std::string_view(entry).starts_with(name_of(secret)); });
  });
  secrets.insert(secrets.end(), plan.begin(), plan.end());
  return secrets;
}

// Puts the descriptors at their numbers and closes every other but `keep` (moved to kReportFd).
Result<void> arrange_descriptors(const ProgramFds& fds, int& keep) {
  const int wanted[] = {fds.in, fds.out, fds.err, fds.listener, fds.status, keep};
  int moved[6];
  for (size_t i = 0; i < 6; ++i) {
    moved[i] = wanted[i] < 0 ? -1 : ::fcntl(wanted[i], F_DUPFD_CLOEXEC, 16);
    if (wanted[i] >= 0 && moved[i] < 0) return fail_errno("move descriptor");
  }
  for (int target = 0; target < 6; ++target) {
    if (moved[target] < 0) {
      ::close(target);
      continue;
    }
    const int flags = target == kReportFd ? O_CLOEXEC : 0;
    if (::dup3(moved[target], target, flags) < 0) return fail_errno("place descriptor {}", target);
  }
  keep = kReportFd;
  // SECURITY: CVE-2024-21626, a descriptor of the host that a tenant inherits.
  if (::syscall(SYS_close_range, 6, ~0U, 0) != 0) return fail_errno("close_range");
  return {};
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

// The search that a shell would do; argv[0] with a slash is taken as it is.
void execute(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  const std::vector<char*> argv = pointers(arguments), envp = pointers(environment);
  if (arguments[0].find('/') != std::string::npos) {
    ::execve(argv[0], argv.data(), envp.data());
    return;
  }
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string& entry : environment)
    if (entry.starts_with("PATH=")) path = std::string_view(entry).substr(5);
  int error = ENOENT;
  while (!path.empty()) {
    const std::string_view folder = path.substr(0, path.find(':'));
    path.remove_prefix(std::min(folder.size() + 1, path.size()));
    ::execve(fmt::format("{}/{}", folder, arguments[0]).c_str(), argv.data(), envp.data());
    if (errno != ENOENT && errno != ENOTDIR) error = errno;
  }
  errno = error;
}

[[noreturn]] void run_program(const Context& c, const std::vector<std::string>& environment, int exec_report) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int s = 1; s < NSIG; ++s) ::signal(s, SIG_DFL);
  ::setsid();
  ::umask(022);
  if (auto renounced = renounce(c, kFunctionUser); !renounced) give_up(exec_report, "process", renounced.error());
  if (::chdir(c.plan.cwd.c_str()) != 0) give_up(exec_report, "process", Error::from_errno(errno, fmt::format("working directory `{}`", c.plan.cwd)));
  int report = exec_report;
  if (auto arranged = arrange_descriptors(c.fds, report); !arranged) give_up(exec_report, "process", arranged.error());
  if (auto limited = set_limits(c.plan.limits); !limited) give_up(report, "process", limited.error());
  if (!load_seccomp_policy(c.filter)) give_up(report, "process", Error::from_errno(errno, "load the system call filter"));
  execute(c.plan.argv, environment);
  give_up(report, "process", Error::from_errno(errno, fmt::format("execute `{}`", c.plan.argv[0])));
}

// pid 1 for the rest of the container's life.
[[noreturn]] void run_init(const Context& c, pid_t program, int exec_result) {
  // Waits for the exec: its pipe closes on success, or says why not.
  Report failure;
  ssize_t n = 0;
  do {
    n = ::read(exec_result, &failure, sizeof failure);
  } while (n < 0 && errno == EINTR);
  if (n == static_cast<ssize_t>(sizeof failure)) {
    (void)send_report(c.report, failure);
    ::_exit(127);
  }
  Report running;
  running.kind = Report::Kind::kRunning;
  // A start that nobody waits for any more: no later starter knows of it for certain.
  if (!send_report(c.report, running)) ::_exit(127);

  int report = c.report;
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGCHLD, SIGTERM}) sigaddset(&set, s);
  // The program's own user, so that it may pass signals on without a capability; pid 1 ignores every signal that comes from inside.
  if (!renounce(c, kFunctionUser)) ::_exit(127);
  if (!arrange_descriptors({}, report)) ::_exit(127);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // its memory is a copy of starter's
  if (!load_seccomp_policy(c.filter)) ::_exit(127);
  for (;;) {
    int status = 0;
    for (pid_t ended = ::waitpid(-1, &status, WNOHANG); ended > 0; ended = ::waitpid(-1, &status, WNOHANG)) {
      if (ended != program) continue;
      Report last;
      last.kind = Report::Kind::kEnded;
      last.status = status;
      (void)send_report(report, last);
      ::_exit(0);
    }
    if (::sigwaitinfo(&set, nullptr) == SIGTERM) ::kill(program, SIGTERM);
  }
}

// Only what the setup needs stays open: a connection that starter had must end with starter, not when this container has its secrets.
Result<void> close_all_others(const Context& c) {
  std::vector<int> needed{c.slot.user_namespace.get(), c.slot.net_namespace.get(), c.root, c.report};
  for (const UniqueFd& tasks : c.slot.tasks) needed.push_back(tasks.get());
  for (const int fd : {c.fds.in, c.fds.out, c.fds.err, c.fds.listener, c.fds.status, c.fds.secrets})
    if (fd >= 0) needed.push_back(fd);
  std::sort(needed.begin(), needed.end());
  unsigned first = 0;
  for (const int fd : needed) {
    const auto number = static_cast<unsigned>(fd);
    if (number > first && ::syscall(SYS_close_range, first, number - 1, 0) != 0) return fail_errno("close_range");
    first = std::max(first, number + 1);
  }
  if (::syscall(SYS_close_range, first, ~0U, 0) != 0) return fail_errno("close_range");
  return {};
}

[[noreturn]] void container_main(const Context& c) {
  // Both signals are waited for, never delivered; pid 1 ignores what it has no handler for.
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  if (auto closed = close_all_others(c); !closed) give_up(c.report, "process", closed.error());
  if (auto entered = enter_namespaces(c); !entered) give_up(c.report, "mount", entered.error());
  std::vector<std::string> environment = c.plan.env;
  if (c.fds.secrets >= 0) {
    auto secrets = read_secrets(c.fds.secrets);
    if (!secrets) give_up(c.report, "secrets", secrets.error());
    environment = merge_environment(c.plan.env, std::move(*secrets));
  }
  auto exec_pipe = make_pipe();
  if (!exec_pipe) give_up(c.report, "process", exec_pipe.error());
  const pid_t program = ::fork();
  if (program < 0) give_up(c.report, "process", Error::from_errno(errno, "fork"));
  if (program == 0) run_program(c, environment, exec_pipe->write.get());
  for (std::string& entry : environment) ::explicit_bzero(entry.data(), entry.size());
  exec_pipe->write.reset();
  run_init(c, program, exec_pipe->read.get());
}

}  // namespace

Result<Launched> launch(const StartPlan& plan, const Slot& slot, int root, const ProgramFds& fds, Mounts& mounts, const std::vector<sock_filter>& filter) {
  TRY_ASSIGN(Pipe report, make_pipe());
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const pid_t pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
  if (pid < 0) return fail_errno("clone3");
  if (pid == 0) container_main({plan, slot, root, fds, mounts, filter, report.write.get()});
  TRY(set_nonblocking(report.read.get()));
  return Launched{pid, UniqueFd(pidfd), std::move(report.read)};
}

}  // namespace skerry::sandbox
