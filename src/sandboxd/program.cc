#include "sandboxd/program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "os/process.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {
namespace {

constexpr size_t kMaxSecretBytes = 2U << 20;
constexpr int kSecretsTimeoutMs = 5000;
constexpr int kKeptFd = kAssignmentFd + 1;

Result<void> set_limit(int resource, rlim_t soft, rlim_t hard) {
  const rlimit limit{soft, hard};
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) return fail_errno("resource limit {}", resource);
  return {};
}

Result<void> set_limits(const Limits& l) {
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

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

constexpr std::string_view kSystemPath = "/usr/local/bin:/usr/bin:/bin";

// The search that a shell would do; argv[0] with a slash is taken as it is. The system's folders come last in any case: a PATH of the function's own
// (a secret of that name, [env_vars]) decides what the function finds, not whether its runtime starts.
void execute(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  const std::vector<char*> argv = pointers(arguments), envp = pointers(environment);
  if (arguments[0].find('/') != std::string::npos) {
    ::execve(argv[0], argv.data(), envp.data());
    return;
  }
  std::string folders;
  for (const std::string& entry : environment)
    if (entry.starts_with("PATH=")) folders = entry.substr(5) + ":";
  folders += kSystemPath;
  std::string_view path = folders;
  int error = ENOENT;
  while (!path.empty()) {
    const std::string_view folder = path.substr(0, path.find(':'));
    path.remove_prefix(std::min(folder.size() + 1, path.size()));
    ::execve(fmt::format("{}/{}", folder, arguments[0]).c_str(), argv.data(), envp.data());
    if (errno != ENOENT && errno != ENOTDIR) error = errno;
  }
  errno = error;
}

Result<void> prepare(const ProgramWord& word, std::vector<std::string>& environment, int& keep, const char*& phase) {
  environment = word.plan.env;
  if (word.fds.secrets >= 0) {
    phase = "secrets";
    TRY_ASSIGN(auto secrets, read_secrets(word.fds.secrets));
    environment = merge_environment(word.plan.env, std::move(secrets));
  }
  phase = "process";
  if (::chdir(word.plan.cwd.c_str()) != 0) return fail_errno("working directory `{}`", word.plan.cwd);
  TRY(arrange_descriptors(word.fds, keep));
  return set_limits(word.plan.limits);
}

}  // namespace

Result<void> arrange_descriptors(const ProgramFds& fds, int& keep) {
  const int wanted[] = {fds.in, fds.out, fds.err, fds.listener, fds.status, fds.assignment, keep};
  int moved[std::size(wanted)];
  for (size_t i = 0; i < std::size(wanted); ++i) {
    moved[i] = wanted[i] < 0 ? -1 : ::fcntl(wanted[i], F_DUPFD_CLOEXEC, 16);
    if (wanted[i] >= 0 && moved[i] < 0) return fail_errno("move descriptor");
  }
  for (int target = 0; target <= kKeptFd; ++target) {
    if (moved[target] < 0) {
      ::close(target);
      continue;
    }
    const int flags = target == kKeptFd ? O_CLOEXEC : 0;
    if (::dup3(moved[target], target, flags) < 0) return fail_errno("place descriptor {}", target);
  }
  keep = kKeptFd;
  // SECURITY: CVE-2024-21626, a descriptor of the host that a tenant inherits.
  return close_descriptors(kKeptFd + 1);
}

Error execute_program(const ProgramWord& word, int& keep, const char*& phase) {
  std::vector<std::string> environment;
  if (auto prepared = prepare(word, environment, keep, phase); !prepared) return std::move(prepared).error();
  execute(word.plan.argv, environment);
  return Error::from_errno(errno, fmt::format("execute `{}`", word.plan.argv[0]));
}

}  // namespace skerry::sandbox
