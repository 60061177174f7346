#include "cli/machine.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/unique_fd.h"
#include "json/json.h"

namespace skerry::cli {
namespace {

namespace fs = std::filesystem;

inline constexpr uint64_t kMinMemoryMb = 1024;
inline constexpr uint64_t kMinDiskMb = 5 * 1024;  // base images, toolchains, layers
inline constexpr rlim_t kMinOpenFiles = 20'000;   // six an instance in edge

std::string read_text(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return std::move(out).str();
}

std::string first_line(const std::string& path) {
  const std::string text = read_text(path);
  return text.substr(0, text.find('\n'));
}

bool has_word(const std::string& text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const auto edge = [&](size_t i) {
      return i >= text.size() || text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == ',';
    };
    if ((at == 0 || edge(at - 1)) && edge(at + word.size())) return true;
  }
  return false;
}

bool has_module(const std::string& root, const std::string& release, const std::string& module) {
  std::error_code ec;
  if (fs::exists(root + "/sys/module/" + module, ec)) return true;
  const std::string folder = root + "/lib/modules/" + release;
  return read_text(folder + "/modules.builtin").find("/" + module + ".ko") != std::string::npos ||
         read_text(folder + "/modules.dep").find("/" + module + ".ko") != std::string::npos;
}

// A driver that is built in and not listed anywhere still has its symbols (names are readable for everyone,
// addresses are not).
bool has_symbol(const std::string& root, const std::string& symbol) {
  std::ifstream in(root + "/proc/kallsyms");
  for (std::string line; std::getline(in, line);) {
    if (has_word(line, symbol)) return true;
  }
  return false;
}

std::pair<int, int> version_of(const std::string& release) {
  int major = 0;
  int minor = 0;
  const char* end = release.data() + release.size();
  const auto [after, error] = std::from_chars(release.data(), end, major);
  if (error == std::errc() && after != end && *after == '.') std::from_chars(after + 1, end, minor);
  return {major, minor};
}

Finding one(std::string name, bool fine, Health otherwise, std::string found, std::string fix) {
  return {std::move(name), fine ? Health::kOk : otherwise, std::move(found), fine ? "" : std::move(fix)};
}

}  // namespace

std::string kernel_release() {
  utsname name{};
  return ::uname(&name) == 0 ? name.release : "";
}

std::vector<Finding> check_kernel(const std::string& root, const std::string& release) {
  std::vector<Finding> out;
  const auto version = version_of(release);
  out.push_back(version < std::pair(5, 12)
                    ? Finding{"kernel", Health::kMissing, release,
                              "Linux 5.12 or newer is needed (mount_setattr, openat2); Debian 12 has 6.1"}
                    : one("kernel", version >= std::pair(6, 0), Health::kWarning, release,
                          "Linux 6.0 or newer starts containers 10 ms faster (favordynmods)"));
  std::string missing;
  std::error_code ec;
  for (const char* name : {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"}) {
    if (!fs::exists(root + "/proc/self/ns/" + name, ec))
      missing += (missing.empty() ? "" : ", ") + std::string(name);
  }
  out.push_back(one("namespaces", missing.empty(), Health::kMissing,
                    missing.empty() ? "all seven" : "without " + missing,
                    "a kernel with these namespaces; Debian's has them"));
  const std::string limit = first_line(root + "/proc/sys/user/max_user_namespaces");
  out.push_back(one("user namespaces", !limit.empty() && limit != "0", Health::kMissing,
                    limit.empty() ? "not there" : "at most " + limit,
                    "sysctl -w user.max_user_namespaces=65536"));
  const std::string filesystems = read_text(root + "/proc/filesystems");
  out.push_back(one("overlay", has_word(filesystems, "overlay") || has_module(root, release, "overlay"),
                    Health::kMissing, has_word(filesystems, "overlay") ? "there" : "not loaded",
                    "modprobe overlay"));
  const std::string actions = first_line(root + "/proc/sys/kernel/seccomp/actions_avail");
  out.push_back(one("seccomp", has_word(actions, "errno") && has_word(actions, "kill_process"),
                    Health::kMissing, actions.empty() ? "not there" : actions,
                    "a kernel with CONFIG_SECCOMP_FILTER"));
  return out;
}

std::vector<Finding> check_cgroups(const std::string& root) {
  std::vector<Finding> out;
  const std::string unified = first_line(root + "/sys/fs/cgroup/cgroup.controllers");
  const std::string hybrid = first_line(root + "/sys/fs/cgroup/unified/cgroup.controllers");
  const std::string mounts = read_text(root + "/proc/mounts");
  for (const char* controller : {"memory", "cpu", "pids"}) {
    const std::string v1 = first_line(fmt::format("{}/sys/fs/cgroup/{}/cgroup.procs", root, controller));
    std::error_code ec;
    const bool in_v1 = fs::exists(fmt::format("{}/sys/fs/cgroup/{}", root, controller), ec);
    const bool in_v2 = has_word(unified, controller) || has_word(hybrid, controller);
    out.push_back(one(fmt::format("cgroup {}", controller), in_v1 || in_v2, Health::kMissing,
                      in_v2   ? "v2"
                      : in_v1 ? "v1"
                              : "not there",
                      fmt::format("boot with cgroup_enable={}, or mount the controller", controller)));
  }
  bool favoured = false;
  std::istringstream lines(mounts);
  for (std::string line; std::getline(lines, line);)
    favoured = favoured || (line.find(" cgroup") != std::string::npos && has_word(line, "favordynmods"));
  out.push_back(one("favordynmods", favoured, Health::kWarning, favoured ? "on" : "off",
                    "`make up` sets it; without it the start of a container takes 10 ms longer"));
  return out;
}

std::vector<Finding> check_network(const std::string& root, const std::string& release) {
  std::vector<Finding> out;
  constexpr std::pair<const char*, const char*> kDrivers[] = {{"veth", "veth_newlink"},
                                                              {"nf_tables", "nft_do_chain"}};
  for (const auto& [module, symbol] : kDrivers) {
    const bool there = has_module(root, release, module) || has_symbol(root, symbol);
    // It may be there where this program does not look: worth a warning, not a refusal.
    out.push_back(one(module, there, Health::kWarning, there ? "there" : "not found",
                      fmt::format("modprobe {}", module)));
  }
  const std::string forward = first_line(root + "/proc/sys/net/ipv4/ip_forward");
  out.push_back(one("ip_forward", forward == "1", Health::kWarning, forward.empty() ? "not there" : forward,
                    "sysctl -w net.ipv4.ip_forward=1; without it functions reach nothing outside"));
  return out;
}

std::vector<Finding> check_features(const std::string& root) {
  std::vector<Finding> out;
  std::istringstream lines(read_text(root + "/run/skerry/features.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    boost::system::error_code error;
    const json::value parsed = boost::json::parse(line, error);
    if (error || !parsed.is_object()) continue;
    const json::object& f = parsed.get_object();
    const auto text = [&](const char* key) {
      const json::value* v = f.if_contains(key);
      return v != nullptr && v->is_string() ? std::string(v->get_string()) : std::string();
    };
    const json::value* ok = f.if_contains("ok");
    const bool there = ok != nullptr && ok->is_bool() && ok->get_bool();
    const std::string detail = text("detail"), replaced_by = text("replaced_by");
    out.push_back(one("kernel: " + text("feature"), there,
                      replaced_by.empty() ? Health::kMissing : Health::kWarning,
                      there && detail.empty() ? "there" : detail,
                      replaced_by.empty() ? "a kernel that has it, and lets it be used: Debian 12's"
                                          : "without it: " + replaced_by));
  }
  if (out.empty())
    out.push_back({"kernel: features", Health::kWarning, "not probed",
                   "`make up` probes them; or, as root, `skerry-sandboxd doctor`"});
  return out;
}

std::vector<Finding> check_programs(const std::string& path_variable) {
  struct Program {
    const char* program;
    const char* package;
    Health otherwise;
    const char* use;
  };
  constexpr Program kPrograms[] = {
      {"nft", "nftables", Health::kMissing, "the firewall of instances"},
      {"ip", "iproute2", Health::kMissing, "networks of instances"},
      {"mmdebstrap", "mmdebstrap", Health::kMissing, "base images"},
      {"zstd", "zstd", Health::kMissing, "layers"},
      {"mke2fs", "e2fsprogs", Health::kWarning, "functions with [runtime] scratch"},
      {"clang++-19", "clang-19", Health::kWarning, "building Skerry"},
      {"cmake", "cmake", Health::kWarning, "building Skerry"},
      {"ninja", "ninja-build", Health::kWarning, "building Skerry"},
      {"curl", "curl", Health::kWarning, "trying functions by hand"},
  };
  std::vector<Finding> out;
  for (const Program& p : kPrograms) {
    std::string at;
    std::istringstream folders(path_variable + ":/usr/sbin:/sbin");
    for (std::string folder; at.empty() && std::getline(folders, folder, ':');) {
      if (!folder.empty() && ::access((folder + "/" + p.program).c_str(), X_OK) == 0)
        at = folder + "/" + p.program;
    }
    out.push_back(one(fmt::format("program {}", p.program), !at.empty(), p.otherwise,
                      at.empty() ? "not there" : at,
                      fmt::format("apt-get install {} ({})", p.package, p.use)));
  }
  return out;
}

std::vector<Finding> check_resources(const std::string& root) {
  std::vector<Finding> out;
  out.push_back(one("root", ::geteuid() == 0 || ::access("/usr/bin/sudo", X_OK) == 0, Health::kWarning,
                    ::geteuid() == 0 ? "yes" : "no", "`make up` needs root, or sudo; the CLI does not"));
  const std::string meminfo = read_text(root + "/proc/meminfo");
  const auto kilobytes = [&](std::string_view key) {
    uint64_t value = 0;
    const size_t at = meminfo.find(key);
    if (at == std::string::npos) return value;
    const size_t digits = meminfo.find_first_of("0123456789", at);
    if (digits != std::string::npos)
      std::from_chars(meminfo.data() + digits, meminfo.data() + meminfo.size(), value);
    return value;
  };
  const uint64_t available_mb = kilobytes("MemAvailable:") / 1024;
  out.push_back(one("memory", available_mb >= kMinMemoryMb, Health::kWarning,
                    fmt::format("{} MB available", available_mb),
                    fmt::format("{} MB; an instance takes up to 256 MB by default", kMinMemoryMb)));
  out.push_back(one("swap", kilobytes("SwapTotal:") > 0, Health::kWarning,
                    fmt::format("{} MB", kilobytes("SwapTotal:") / 1024),
                    "with swap or zram idle instances can be paged out; without, they are not"));
  struct statvfs disk{};
  const char* state = ::access("/var/lib/skerry", F_OK) == 0 ? "/var/lib/skerry" : "/var/lib";
  const uint64_t free_mb =
      ::statvfs(state, &disk) == 0 ? static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize >> 20 : 0;
  out.push_back(one("disk", free_mb >= kMinDiskMb, Health::kWarning,
                    fmt::format("{} MB free in {}", free_mb, state),
                    fmt::format("{} MB for base images, toolchains and layers", kMinDiskMb)));
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  out.push_back(one("open files", files.rlim_max >= kMinOpenFiles, Health::kWarning,
                    fmt::format("{}", files.rlim_max), fmt::format("ulimit -Hn {}", kMinOpenFiles)));
  return out;
}

std::vector<Finding> check_ports(std::span<const int64_t> own) {
  std::vector<Finding> out;
  for (const uint16_t port : {uint16_t{8443}, uint16_t{8080}, uint16_t{8081}}) {
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int yes = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_ANY);
    sockaddr generic{};
    static_assert(sizeof generic == sizeof at);
    __builtin_memcpy(&generic, &at, sizeof at);
    const bool free = fd && ::bind(fd.get(), &generic, sizeof generic) == 0;
    const bool ours = std::find(own.begin(), own.end(), port) != own.end();
    out.push_back(one(fmt::format("port {}", port), free || ours, Health::kWarning,
                      free   ? "free"
                      : ours ? "in use, by Skerry"
                             : "in use",
                      "by something that is not the configured gateway; `ss -ltnp` names it, [ports] in "
                      "/etc/skerry/skerry.toml chooses another"));
  }
  return out;
}

std::vector<Finding> check_names() {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const bool resolves = ::getaddrinfo("probe.skerry.localhost", "443", &hints, &found) == 0;
  if (found != nullptr) ::freeaddrinfo(found);
  return {one("*.skerry.localhost", resolves, Health::kWarning, resolves ? "resolves" : "does not resolve",
              "curl, browsers and `skerry invoke` know it anyway; for other clients: apt-get install "
              "libnss-myhostname")};
}

}  // namespace skerry::cli
