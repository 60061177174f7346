#include "sandboxd/parked.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "os/file.h"
#include "os/process.h"
#include "os/unix_socket.h"
#include "sandboxd/container.h"
#include "sandboxd/mounts.h"
#include "sandboxd/namespaces.h"
#include "sandboxd/program.h"
#include "sandboxd/seccomp_policy.h"
#include "sandboxd/settings.h"
#include "sandboxd/skeleton.h"

namespace skerry::sandbox {
namespace {

constexpr int kParkTimeMs = 5000;
constexpr std::string_view kReady = "ready";  // at the seat, and from the program's process to init; anything else is an error's text

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

// From root of the host to nobody: the function's user in the slot's user namespace, without a single capability.
Result<void> renounce(int user_namespace) {
  if (::setns(user_namespace, CLONE_NEWUSER) != 0) return fail_errno("user namespace");
  if (::setgroups(0, nullptr) != 0) return fail_errno("setgroups");
  if (::setresgid(kFunctionUser, kFunctionUser, kFunctionUser) != 0) return fail_errno("setresgid");
  if (::setresuid(kFunctionUser, kFunctionUser, kFunctionUser) != 0) return fail_errno("setresuid");
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

// Closes every descriptor but these.
Result<void> close_all_but(std::vector<int> needed) {
  std::sort(needed.begin(), needed.end());
  unsigned first = 0;
  for (const int fd : needed) {
    const auto number = static_cast<unsigned>(fd);
    if (number > first) TRY(close_descriptors(first, number - 1));
    first = std::max(first, number + 1);
  }
  return close_descriptors(first);
}

// "ready", or why not.
Result<void> wait_until_ready(int socket) {
  pollfd poll_fd{socket, POLLIN, 0};
  if (::poll(&poll_fd, 1, kParkTimeMs) <= 0) return fail(ErrorCode::kTimeout, "a container was not parked in time");
  TRY_ASSIGN(const Message message, receive_message(socket));
  if (message.bytes != kReady) return fail(ErrorCode::kIo, "{}", message.bytes);
  return {};
}

void say_ready(int socket, const Result<void>& result) {
  if (!send_message(socket, result ? kReady : std::string_view(result.error().message())) || !result) ::_exit(127);
}

// ---- the program's process

struct ProgramSeat {
  int socket;
  int result;  // closed by the exec, or says why there was none
};

[[noreturn]] void program_main(const ParkedParts& parts, ProgramSeat seat) {
  const auto give_everything_up = [&]() -> Result<void> {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (int s = 1; s < NSIG; ++s) ::signal(s, SIG_DFL);
    ::setsid();
    ::umask(022);
    TRY(close_all_but({parts.user_namespace, seat.socket, seat.result}));
    TRY(renounce(parts.user_namespace));
    ::close(parts.user_namespace);
    // SECURITY: one byte, and no core program of the host is started for a crash. The filter keeps it there.
    const rlimit core{1, 1};
    if (::setrlimit(RLIMIT_CORE, &core) != 0) return fail_errno("resource limit for core files");
    if (!load_seccomp_policy(parts.filter)) return fail_errno("load the system call filter");
    return {};
  };
  say_ready(seat.socket, give_everything_up());
  auto word = hear_program(seat.socket);
  if (!word && word.error().code() == ErrorCode::kUnavailable) ::_exit(0);  // init is gone
  if (!word) give_up(seat.result, "process", word.error());
  const char* phase = "process";
  int result = seat.result;
  const Error error = execute_program(*word, result, phase);
  give_up(result, phase, error);
}

// ---- init

// Until it has the word, everything as root of the host.
Result<void> make_world(const ParkedParts& parts) {
  TRY(make_skeleton(parts.work_dir));
  // When the machine itself runs out of memory, functions go before anything else. Where it cannot be said, the kernel's own order stands.
  (void)write_text("/proc/self/oom_score_adj", "500");
  for (const int tasks : parts.tasks)
    if (::write(tasks, "0", 1) != 1) return fail_errno("enter the control group");
  // After the attach, so that the container's view of cgroups begins at its own.
  if (::unshare(CLONE_NEWCGROUP) != 0) return fail_errno("cgroup namespace");
  if (::setns(parts.net_namespace, CLONE_NEWNET) != 0) return fail_errno("network namespace");
  return {};
}

// SECURITY: a container without a network has its interface down, and no capability to bring it up again.
Result<void> take_network_away() {
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  ifreq request{};
  std::strcpy(request.ifr_name, "eth0");
  if (::ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno("take eth0 down");
  return {};
}

Result<void> finish_world(const Word& word) {
  if (::sethostname(word.plan.hostname.c_str(), word.plan.hostname.size()) != 0) return fail_errno("hostname");
  if (word.plan.network == Network::kNone) TRY(take_network_away());
  return enter_root(word.root.get());
}

// pid 1 for the rest of the container's life.
[[noreturn]] void reap(const ParkedParts& parts, pid_t program, int report) {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGCHLD, SIGTERM}) sigaddset(&set, s);
  // The program's own user, so that it may pass signals on without a capability; pid 1 ignores every signal that comes from inside.
  if (!renounce(parts.user_namespace)) ::_exit(127);
  if (!arrange_descriptors({}, report)) ::_exit(127);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // its memory is a copy of filler's
  if (!load_seccomp_policy(parts.filter)) ::_exit(127);
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

// True when something is to be heard at the seat (its end, too); false when the program's process has ended before.
bool wait_for_word(int seat) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  action.sa_flags = SA_NOCLDSTOP;  // a program that is stopped has not ended
  ::sigaction(SIGCHLD, &action, nullptr);
  const UniqueFd children(::signalfd(-1, &set, SFD_CLOEXEC));
  pollfd waited[] = {{seat, POLLIN, 0}, {children.get(), POLLIN, 0}};
  while (::poll(waited, 2, -1) < 0) {
    if (errno != EINTR) return false;
  }
  return waited[1].revents == 0;
}

// A spare's init: true when it has become an instance. False when nobody wants it, or its runtime has ended.
bool become(int seat, int report) {
  if (!wait_for_word(seat)) return false;
  auto assignment = hear_assignment(seat);
  if (!assignment) return false;
  const auto finish = [&]() -> Result<void> {
    for (const auto& [path, tree] : assignment->trees) TRY(attach_tree(tree.get(), path), path);
    if (::sethostname(assignment->hostname.c_str(), assignment->hostname.size()) != 0) return fail_errno("hostname");
    TRY(write_hostname_files(assignment->hostname));
    return {};
  };
  if (auto finished = finish(); !finished) give_up(report, "mount", finished.error());
  assignment->done.reset();
  Report running;
  running.kind = Report::Kind::kRunning;
  return send_report(report, running);
}

// Waits for the exec: its pipe closes on success, or says why not.
void tell_of_exec(int exec_result, int report) {
  Report failure;
  ssize_t n = 0;
  do {
    n = ::read(exec_result, &failure, sizeof failure);
  } while (n < 0 && errno == EINTR);
  if (n == static_cast<ssize_t>(sizeof failure)) {
    (void)send_report(report, failure);
    ::_exit(127);
  }
  Report running;
  running.kind = Report::Kind::kRunning;
  // A start that nobody waits for any more: no later starter knows of it for certain.
  if (!send_report(report, running)) ::_exit(127);
}

struct ProgramProcess {
  pid_t pid = -1;
  UniqueFd socket;
  UniqueFd result;
};

Result<ProgramProcess> fork_program(const ParkedParts& parts) {
  TRY_ASSIGN(auto sockets, make_socketpair(SocketType::kSeqpacket));
  TRY_ASSIGN(Pipe result, make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) program_main(parts, {sockets.second.get(), result.write.get()});
  sockets.second.reset();
  TRY(wait_until_ready(sockets.first.get()), "the program's process");
  return ProgramProcess{pid, std::move(sockets.first), std::move(result.read)};
}

[[noreturn]] void init_main(const ParkedParts& parts, int seat) {
  // Both signals are waited for, never delivered; pid 1 ignores what it has no handler for.
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  ProgramProcess program;
  const auto prepare = [&]() -> Result<void> {
    // Only what is needed stays open: a connection that filler had must end with filler, not with this container.
    std::vector<int> needed{parts.user_namespace, parts.net_namespace, seat};
    needed.insert(needed.end(), parts.tasks.begin(), parts.tasks.end());
    TRY(close_all_but(std::move(needed)));
    TRY(make_world(parts));
    TRY_ASSIGN(program, fork_program(parts));
    return close_all_but({parts.user_namespace, seat, program.socket.get(), program.result.get()});
  };
  say_ready(seat, prepare());

  if (!wait_for_word(seat)) ::_exit(0);
  auto word = hear(seat);
  if (!word) ::_exit(word.error().code() == ErrorCode::kUnavailable ? 0 : 127);
  const int report = word->report.get();
  if (auto finished = finish_world(*word); !finished) give_up(report, "mount", finished.error());
  // Before the program runs: until then ".." of a folder at the root leads to the old one, and a relative link by way of it to nothing.
  if (auto gone = let_go_of_old_root(); !gone) give_up(report, "mount", gone.error());
  // The program's process was killed: this container is none any more, and starter takes another.
  if (!pass_on(program.socket.get(), *word)) ::_exit(127);
  // What was passed on is the program's alone: a pipe of which init held an end would never end.
  word->program.clear();
  tell_of_exec(program.result.get(), report);
  if (word->plan.spare && !become(seat, report)) ::_exit(0);
  reap(parts, program.pid, report);
}

}  // namespace

Result<Parked> park(const ParkedParts& parts) {
  TRY_ASSIGN(auto seat, make_socketpair(SocketType::kSeqpacket));
  UniqueFd process;
  const pid_t pid = fork_into(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS, &process);
  if (pid < 0) return fail_errno("fork into namespaces");
  if (pid == 0) init_main(parts, seat.second.get());
  seat.second.reset();
  // Its end of the seat is closed by an error, and that ends it.
  TRY(wait_until_ready(seat.first.get()), "parked container");
  TRY(set_nonblocking(seat.first.get()));
  return Parked{pid, std::move(process), std::move(seat.first)};
}

}  // namespace skerry::sandbox
