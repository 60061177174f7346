#include "cli/dev_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

#include "cli/dev_settings.h"
#include "os/file.h"
#include "os/process.h"

namespace skerry::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxProcBytes = 4 * 1024 * 1024;
constexpr size_t kMaxLogBytes = 64 * 1024;
constexpr size_t kTagBytes = 7;  // 'd' and six digits: with "-" and a slot's number it is an interface's name
constexpr int kMaxTries = 10;    // to make a folder while others make and remove theirs
constexpr std::chrono::seconds kProcessTime{5};  // to end the session's daemons
constexpr int kEndTimeMs = 1000;                 // for one of them to die of SIGKILL

// Locked, for as long as sessions are listed or one is added.
Result<UniqueFd> lock_base() {
  TRY(make_directories(std::string(kDevBase), 0755));
  TRY_ASSIGN(UniqueFd base, open_at(AT_FDCWD, std::string(kDevBase), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  while (::flock(base.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return fail_errno("lock `{}`", kDevBase);
  }
  return base;
}

bool is_tag(std::string_view name) {
  return name.size() == kTagBytes && name.front() == 'd' &&
         name.find_first_not_of("0123456789abcdef", 1) == std::string_view::npos;
}

std::vector<std::string> sessions() {
  std::vector<std::string> out;
  std::error_code ec;
  for (const fs::directory_entry& entry : fs::directory_iterator(kDevBase, ec)) {
    if (std::string name = entry.path().filename(); is_tag(name)) out.push_back(std::move(name));
  }
  return out;
}

// What routes, interfaces and other sessions have.
std::vector<AddressRange> taken_ranges() {
  const auto routes = read_file("/proc/net/route", kMaxProcBytes);
  std::vector<AddressRange> out = ranges_of_routes(routes ? *routes : "");
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) == 0) {
    const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
    for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
      if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
      out.push_back({ntohl(reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr.s_addr), ~0U});
    }
  }
  for (const std::string& tag : sessions()) {
    const auto text = read_file(fmt::format("{}/{}/subnet", kDevBase, tag), 64);
    if (const auto range = parse_subnet(text ? *text : "")) out.push_back(*range);
  }
  return out;
}

Result<void> write_new_file(const std::string& path, std::string_view text) {
  TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
  return write_all(fd.get(), text);
}

// Whether it is skerryd or one of its children for the session at `path`. A container's first process is a
// copy of starter with the same words, but in a namespace of its own: the sweep ends those.
bool is_daemon(const fs::path& process, const std::string& path) {
  std::error_code ec;
  if (!fs::read_symlink(process / "exe", ec).filename().string().starts_with("skerry")) return false;
  const auto words = read_file((process / "cmdline").string(), kMaxProcBytes);
  return words && words->find(path + "/") != std::string::npos &&
         fs::read_symlink(process / "ns/pid", ec) == fs::read_symlink("/proc/self/ns/pid", ec);
}

// SIGKILL to all that are left, and until they have ended: they die with their parent, but one may be made,
// or in the middle of a system call, when that happens.
void end_daemons(const std::string& path) {
  const auto end = std::chrono::steady_clock::now() + kProcessTime;
  for (bool any = true; any && std::chrono::steady_clock::now() < end;) {
    any = false;
    std::error_code ec;
    for (const fs::directory_entry& entry : fs::directory_iterator("/proc", ec)) {
      const std::string name = entry.path().filename();
      pid_t pid = 0;
      if (std::from_chars(name.data(), name.data() + name.size(), pid).ptr != name.data() + name.size())
        continue;
      // Opened before it is looked at: the number may be another process's a moment later.
      const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
      if (!process || !is_daemon(entry.path(), path)) continue;
      any = true;
      ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
      pollfd ended{process.get(), POLLIN, 0};
      ::poll(&ended, 1, kEndTimeMs);
    }
  }
}

Result<void> run_sweep(const std::string& programs, const std::string& tag, const std::string& path) {
  const std::string log_path = path + "/sweep.log";
  TRY_ASSIGN(const UniqueFd log,
             open_at(AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
  SpawnOptions options;
  options.argv = {programs + "/skerry-sandboxd",
                  "sweep",
                  "--run-dir",
                  path + "/run",
                  "--state-dir",
                  path + "/state",
                  "--tag",
                  tag};
  options.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"};
  options.fds = {{log.get(), STDOUT_FILENO}, {log.get(), STDERR_FILENO}};
  TRY_ASSIGN(const Child child, spawn(options));
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  int ready = 0;
  while ((ready = ::poll(&ended, 1, kSweepTimeMs)) < 0 && errno == EINTR) {
  }
  if (ready == 0) ::kill(child.pid, SIGKILL);
  int status = 0;
  ::waitpid(child.pid, &status, 0);
  if (ready == 0) return fail(ErrorCode::kTimeout, "the sweep of `{}` did not end", tag);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  auto words = read_file(log_path, kMaxLogBytes);
  while (words && words->ends_with('\n')) words->pop_back();
  return fail(ErrorCode::kIo, "the sweep of `{}` failed: {}", tag, words ? *words : "");
}

// Mount points below `path`, the deepest last.
std::vector<std::string> mounts_below(const std::string& path) {
  std::vector<std::string> out;
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point;
    fields >> id >> parent >> device >> root >> point;
    if (point.starts_with(path + "/")) out.push_back(std::move(point));
  }
  return out;
}

}  // namespace

Result<DevFolder> make_dev_folder(std::string& subnet) {
  for (int left = kMaxTries;; --left) {
    TRY_ASSIGN(const UniqueFd base, lock_base());
    uint32_t random = 0;
    if (::getrandom(&random, sizeof random, 0) != sizeof random) return fail_errno("getrandom");
    TRY_ASSIGN(subnet, pick_subnet(taken_ranges(), random >> 24));
    DevFolder folder;
    folder.tag = fmt::format("d{:06x}", random & 0xFFFFFF);
    folder.path = fmt::format("{}/{}", kDevBase, folder.tag);
    // The last session that ended may have removed the base between our opening and locking it.
    if (::mkdir(folder.path.c_str(), 0711) != 0) {
      if ((errno == ENOENT || errno == EEXIST) && left > 0) continue;
      return fail_errno("make `{}`", folder.path);
    }
    TRY_ASSIGN(folder.lock,
               open_at(AT_FDCWD, folder.path + "/lock", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    if (::flock(folder.lock.get(), LOCK_EX | LOCK_NB) != 0) return fail_errno("lock `{}`", folder.path);
    TRY(write_new_file(folder.path + "/subnet", subnet));
    return folder;
  }
}

Result<void> clear_dev_folder(const std::string& programs, const std::string& tag, const std::string& path) {
  end_daemons(path);
  TRY(run_sweep(programs, tag, path));
  const std::vector<std::string> mounts = mounts_below(path);
  for (auto at = mounts.rbegin(); at != mounts.rend(); ++at) {
    // Never removed through: what is mounted there may be somebody else's.
    if (::umount2(at->c_str(), MNT_DETACH) != 0) return fail_errno("unmount `{}`", *at);
  }
  std::error_code ec;
  fs::remove_all(path, ec);
  if (ec) return std::unexpected(Error::from_errno(ec.value(), fmt::format("remove `{}`", path)));
  ::rmdir(std::string(kDevBase).c_str());  // the last one goes with it; the others keep it
  return {};
}

void clear_dead_sessions(const std::string& programs, const std::function<void(const Error&)>& failed) {
  struct Dead {
    std::string tag;
    UniqueFd lock;  // so that only one of several clears it
  };
  std::vector<Dead> dead;
  if (::access(std::string(kDevBase).c_str(), F_OK) != 0) return;
  {
    const auto base = lock_base();
    if (!base) return failed(base.error());
    for (std::string& tag : sessions()) {
      auto lock =
          open_at(AT_FDCWD, fmt::format("{}/{}/lock", kDevBase, tag), O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
      if (lock && ::flock(lock->get(), LOCK_EX | LOCK_NB) == 0)
        dead.push_back({std::move(tag), std::move(*lock)});
    }
  }
  for (const Dead& session : dead) {
    if (auto done = clear_dev_folder(programs, session.tag, fmt::format("{}/{}", kDevBase, session.tag));
        !done)
      failed(done.error());
  }
}

}  // namespace skerry::cli
