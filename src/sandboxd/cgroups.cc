#include "sandboxd/cgroups.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <linux/magic.h>
#include <set>

#include "os/file.h"
#include "sandboxd/namespaces.h"

namespace skerry::sandbox {
namespace {

constexpr const char* kRoot = "/sys/fs/cgroup";
constexpr uint64_t kCpuPeriodUs = 20'000;  // short, so that a throttled request waits little
constexpr uint64_t kSocketBytes = 32 << 20;  // v1 only, where what waits in sockets is not part of a group's memory

uint64_t number_in(const std::string& path, std::string_view key = {}) {
  const auto text = read_file(path, 64 * 1024);
  if (!text) return 0;
  std::string_view rest = *text;
  if (!key.empty()) {
    size_t at = rest.starts_with(key) ? 0 : rest.find("\n" + std::string(key));
    if (at == std::string_view::npos) return 0;
    if (at > 0) ++at;
    rest.remove_prefix(at + key.size());
    while (rest.starts_with(' ')) rest.remove_prefix(1);
  }
  uint64_t value = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), value);
  return value;
}

Result<void> make_group(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("make cgroup `{}`", path);
  return {};
}

Result<void> remove_group(const std::string& path) {
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove cgroup `{}`", path);
  return {};
}

std::set<std::string> folders_of(const std::string& path) {
  std::set<std::string> out;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr)
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') out.emplace(entry->d_name);
  return out;
}

std::vector<pid_t> pids_in(const std::string& path) {
  std::vector<pid_t> out;
  const auto text = read_file(path, 1 << 20);
  if (!text) return out;
  const char* at = text->data();
  const char* end = at + text->size();
  while (at < end) {
    pid_t pid = 0;
    const auto parsed = std::from_chars(at, end, pid);
    if (parsed.ec == std::errc() && pid > 0) out.push_back(pid);
    at = parsed.ptr + 1;
  }
  return out;
}

// memory, cpu, cpuacct, pids and freezer each in a hierarchy of its own. Where two share one (cpu,cpuacct) the paths are the same folder.
class CgroupsV1 final : public Cgroups {
 public:
  CgroupsV1(std::string tag, std::vector<std::string> controllers) : tag_(std::move(tag)), controllers_(std::move(controllers)) {}
  const char* version() const override { return "v1"; }
  Result<void> prepare() override {
    for (const std::string& c : controllers_) TRY(make_group(parent(c)));
    return {};
  }
  bool exists(const std::string& group) override { return ::access(path("pids", group).c_str(), F_OK) == 0; }
  Result<void> create(const std::string& group) override {
    for (const std::string& c : controllers_) TRY(make_group(path(c, group)));
    // SECURITY: bytes that nobody reads would be the host's memory, and all containers' TCP shares one pool of it.
    const std::string sockets = path("memory", group) + "/memory.kmem.tcp.limit_in_bytes";
    if (::access(sockets.c_str(), W_OK) == 0) TRY(write_text(sockets, std::to_string(kSocketBytes)));
    return {};
  }
  Result<std::vector<UniqueFd>> open_tasks(const std::string& group) override {
    std::vector<UniqueFd> out;
    for (const std::string& c : controllers_) {
      TRY_ASSIGN(UniqueFd fd, open_at(AT_FDCWD, path(c, group) + "/tasks", O_WRONLY));
      out.push_back(std::move(fd));
    }
    return out;
  }
  Result<void> set_limits(const std::string& group, const Limits& l) override {
    TRY(write_text(path("memory", group) + "/memory.limit_in_bytes", std::to_string(l.memory_bytes)));
    // With swap accounting the sum is limited too, or swap would double the memory.
    if (::access((path("memory", group) + "/memory.memsw.limit_in_bytes").c_str(), W_OK) == 0)
      TRY(write_text(path("memory", group) + "/memory.memsw.limit_in_bytes", std::to_string(l.memory_bytes)));
    TRY(write_text(path("cpu", group) + "/cpu.cfs_period_us", std::to_string(kCpuPeriodUs)));
    TRY(write_text(path("cpu", group) + "/cpu.cfs_quota_us", std::to_string(std::max<uint64_t>(1000, kCpuPeriodUs * l.cpu_millis / 1000))));
    return write_text(path("pids", group) + "/pids.max", std::to_string(l.max_processes));
  }
  Result<void> set_frozen(const std::string& group, bool frozen) override {
    return write_text(path("freezer", group) + "/freezer.state", frozen ? "FROZEN" : "THAWED");
  }
  Result<UniqueFd> open_freezer(const std::string& group) override { return open_at(AT_FDCWD, path("freezer", group) + "/freezer.state", O_RDWR); }
  Result<void> lift_cpu_limit(const std::string& group) override { return write_text(path("cpu", group) + "/cpu.cfs_quota_us", "-1"); }
  Result<UniqueFd> open_cpu_counter(const std::string& group) override { return open_at(AT_FDCWD, path("cpuacct", group) + "/cpuacct.usage", O_RDONLY); }
  uint64_t cpu_us(const std::string& group) override { return number_in(path("cpuacct", group) + "/cpuacct.usage") / 1000; }
  uint64_t memory_bytes(const std::string& group) override { return number_in(path("memory", group) + "/memory.usage_in_bytes"); }
  uint64_t peak_memory_bytes(const std::string& group) override { return number_in(path("memory", group) + "/memory.max_usage_in_bytes"); }
  bool was_out_of_memory(const std::string& group) override { return number_in(path("memory", group) + "/memory.oom_control", "oom_kill ") > 0; }
  Result<UniqueFd> watch_memory(const std::string& group) override {
    const std::string folder = path("memory", group);
    UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event) return fail_errno("eventfd");
    TRY_ASSIGN(const UniqueFd control, open_at(AT_FDCWD, folder + "/memory.oom_control", O_RDONLY));
    TRY(write_text(folder + "/cgroup.event_control", fmt::format("{} {}", event.get(), control.get())));
    return event;
  }
  std::vector<pid_t> processes(const std::string& group) override { return pids_in(path("pids", group) + "/cgroup.procs"); }
  void kill_all(const std::string& group) override {
    (void)set_frozen(group, false);  // a frozen process does not die
    for (const pid_t pid : processes(group)) {
      const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
      // The number may have gone to another process since it was read: it is sent to the one that is still listed after the open.
      const auto still = processes(group);
      if (process && std::find(still.begin(), still.end(), pid) != still.end()) ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
    }
  }
  Result<void> remove(const std::string& group) override {
    Result<void> result{};
    for (const std::string& c : controllers_)
      if (auto removed = remove_group(path(c, group)); !removed) result = std::move(removed);
    return result;
  }
  // In any of the hierarchies: who makes or removes a group may be killed half-way.
  std::vector<std::string> list() override {
    std::set<std::string> all;
    for (const std::string& c : controllers_) all.merge(folders_of(parent(c)));
    return {all.begin(), all.end()};
  }
  Result<void> remove_parent() override {
    for (const std::string& c : controllers_) TRY(remove_group(parent(c)));
    return {};
  }

 private:
  [[nodiscard]] std::string parent(const std::string& controller) const { return fmt::format("{}/{}/{}", kRoot, controller, tag_); }
  [[nodiscard]] std::string path(const std::string& controller, const std::string& group) const { return parent(controller) + "/" + group; }

  std::string tag_;
  std::vector<std::string> controllers_;
};

class CgroupsV2 final : public Cgroups {
 public:
  explicit CgroupsV2(std::string tag) : parent_(fmt::format("{}/{}", kRoot, tag)) {}
  const char* version() const override { return "v2"; }
  Result<void> prepare() override {
    TRY(write_text(std::string(kRoot) + "/cgroup.subtree_control", "+memory +cpu +pids"));
    TRY(make_group(parent_));
    return write_text(parent_ + "/cgroup.subtree_control", "+memory +cpu +pids");
  }
  bool exists(const std::string& group) override { return ::access(path(group).c_str(), F_OK) == 0; }
  Result<void> create(const std::string& group) override { return make_group(path(group)); }
  Result<std::vector<UniqueFd>> open_tasks(const std::string& group) override {
    std::vector<UniqueFd> out;
    TRY_ASSIGN(UniqueFd fd, open_at(AT_FDCWD, path(group) + "/cgroup.procs", O_WRONLY));
    out.push_back(std::move(fd));
    return out;
  }
  Result<void> set_limits(const std::string& group, const Limits& l) override {
    TRY(write_text(path(group) + "/memory.max", std::to_string(l.memory_bytes)));
    TRY(write_text(path(group) + "/memory.oom.group", "1"));
    if (::access((path(group) + "/memory.swap.max").c_str(), W_OK) == 0) TRY(write_text(path(group) + "/memory.swap.max", "0"));
    TRY(write_text(path(group) + "/cpu.max", fmt::format("{} {}", std::max<uint64_t>(1000, kCpuPeriodUs * l.cpu_millis / 1000), kCpuPeriodUs)));
    return write_text(path(group) + "/pids.max", std::to_string(l.max_processes));
  }
  Result<void> set_frozen(const std::string& group, bool frozen) override { return write_text(path(group) + "/cgroup.freeze", frozen ? "1" : "0"); }
  Result<UniqueFd> open_freezer(const std::string& group) override { return open_at(AT_FDCWD, path(group) + "/cgroup.freeze", O_RDWR); }
  Result<void> lift_cpu_limit(const std::string& group) override { return write_text(path(group) + "/cpu.max", "max"); }
  Result<UniqueFd> open_cpu_counter(const std::string& group) override { return open_at(AT_FDCWD, path(group) + "/cpu.stat", O_RDONLY); }
  uint64_t cpu_us(const std::string& group) override { return number_in(path(group) + "/cpu.stat", "usage_usec "); }
  uint64_t memory_bytes(const std::string& group) override { return number_in(path(group) + "/memory.current"); }
  uint64_t peak_memory_bytes(const std::string& group) override { return number_in(path(group) + "/memory.peak"); }
  bool was_out_of_memory(const std::string& group) override { return number_in(path(group) + "/memory.events", "oom_kill ") > 0; }
  Result<UniqueFd> watch_memory(const std::string&) override { return UniqueFd(); }  // memory.oom.group
  std::vector<pid_t> processes(const std::string& group) override { return pids_in(path(group) + "/cgroup.procs"); }
  void kill_all(const std::string& group) override { (void)write_text(path(group) + "/cgroup.kill", "1"); }
  Result<void> remove(const std::string& group) override { return remove_group(path(group)); }
  std::vector<std::string> list() override {
    const auto all = folders_of(parent_);
    return {all.begin(), all.end()};
  }
  Result<void> remove_parent() override { return remove_group(parent_); }

 private:
  [[nodiscard]] std::string path(const std::string& group) const { return parent_ + "/" + group; }
  std::string parent_;
};

}  // namespace

Result<std::unique_ptr<Cgroups>> Cgroups::probe(const Settings& settings) {
  struct statfs fs {};
  if (::statfs(kRoot, &fs) != 0) return fail_errno("`{}`", kRoot);
  if (fs.f_type == CGROUP2_SUPER_MAGIC) return std::make_unique<CgroupsV2>(settings.tag);
  std::vector<std::string> controllers;
  for (const char* c : {"memory", "cpu", "cpuacct", "pids", "freezer"}) {
    if (::access(fmt::format("{}/{}/tasks", kRoot, c).c_str(), W_OK) != 0)
      return fail(ErrorCode::kUnavailable, "neither cgroup v2 nor the v1 controller `{}` is mounted below {}", c, kRoot);
    controllers.emplace_back(c);
  }
  return std::make_unique<CgroupsV1>(settings.tag, std::move(controllers));
}

Result<void> favor_moves(const Settings& settings) {
  const std::string path = settings.run_dir + "/cgroup";
  TRY(make_directories(path, 0700));
  struct statfs fs {};
  if (::statfs(path.c_str(), &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC) return {};
  const std::string options = fmt::format("none,name={},favordynmods", settings.tag);
  if (::mount("none", path.c_str(), "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str()) != 0) return fail_errno("mount {}", options);
  return {};
}

}  // namespace skerry::sandbox
