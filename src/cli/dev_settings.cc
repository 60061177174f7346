#include "cli/dev_settings.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "base/unique_fd.h"
#include "manifest/tomlpp.h"
#include "os/tcp.h"

namespace skerry::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kInstalled = "/usr/local/lib/skerry/bin";
constexpr std::string_view kPrograms[] = {"skerryd",       "skerry-edge",     "skerry-control",
                                          "skerry-keeper", "skerry-sandboxd", "skerry-unpack"};
// 100.96.0.0/11: the upper half of the range that carriers use behind their address translation (RFC 6598).
// No home, office or cluster network has it, and 198.18.0.0/15 is an installed Skerry's.
constexpr uint32_t kFirstSubnet = (100U << 24) | (96U << 16);
constexpr uint32_t kSubnets = 32;
constexpr uint32_t kSubnetMask = 0xFFFF0000;
constexpr int64_t kDevShipsPerHour = 3600;

bool has_programs(const std::string& folder) {
  for (const std::string_view name : kPrograms) {
    if (::access(fmt::format("{}/{}", folder, name).c_str(), X_OK) != 0) return false;
  }
  return true;
}

Outcome<uint16_t> port_of(const UniqueFd& socket) {
  sockaddr_storage at{};
  socklen_t size = sizeof at;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&at), &size) != 0)
    return std::unexpected(Failure(Error::from_errno(errno, "getsockname")));
  return ntohs(reinterpret_cast<const sockaddr_in*>(&at)->sin_port);
}

std::optional<uint32_t> hex_address(std::string_view text) {
  uint32_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != 8 || read.ec != std::errc() || read.ptr != text.data() + text.size())
    return std::nullopt;
  return ntohl(value);  // the kernel prints the number as it lies in memory
}

}  // namespace

std::string folder_of_this_program() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path - 1);
  const std::string text(path, n > 0 ? static_cast<size_t>(n) : 0);
  return text.substr(0, text.rfind('/'));
}

Outcome<DevPrograms> find_programs(const std::string& own_folder) {
  std::error_code ec;
  for (const std::string& folder : {own_folder, std::string(kInstalled)}) {
    if (!has_programs(folder)) continue;
    // <prefix>/bin with <prefix>/shims; <source>/build/NAME/bin with <source>/shims.
    for (const char* shims : {"/../shims", "/../../../shims"}) {
      if (fs::is_directory(folder + shims, ec)) return DevPrograms{folder, fs::canonical(folder + shims, ec)};
    }
  }
  return std::unexpected(Failure(
      Exit::kFailed, "not_installed",
      fmt::format("Skerry's other programs are neither in {} nor in {}", own_folder, kInstalled),
      "`make up` in Skerry's source folder installs them; `skerry dev --remote` needs only a gateway"));
}

std::string images_folder(std::string_view machine_config) {
  if (const char* given = std::getenv("SKERRY_IMAGES"); given != nullptr && *given != '\0') return given;
  const toml::parse_result parsed = safe_toml::parse(machine_config);
  if (parsed) {
    if (const auto folder = parsed.table()["images_dir"].value<std::string>()) return *folder;
  }
  return "/var/lib/skerry/images";
}

std::vector<std::string> missing_images(const std::string& folder, manifest::Language language) {
  if (language == manifest::Language::kImage) return {};
  const std::string name(manifest::to_string(language));
  std::vector<std::string> out;
  for (const std::string& image : {name, name + "-build"}) {
    if (::access(fmt::format("{}/{}/current", folder, image).c_str(), R_OK) != 0) out.push_back(image);
  }
  return out;
}

Outcome<DevPorts> pick_ports(std::optional<uint16_t> http) {
  DevPorts out;
  UniqueFd held[3];  // until all are known, so that they differ
  uint16_t* const ports[] = {&out.http, &out.https, &out.api};
  for (size_t i = 0; i < 3; ++i) {
    const uint16_t wanted = i == 0 ? http.value_or(0) : 0;
    auto socket = listen_tcp("127.0.0.1", wanted);
    if (!socket && wanted != 0) {
      return std::unexpected(
          Failure(Exit::kFailed, "port_in_use", fmt::format("port {}: {}", wanted, socket.error().message()),
                  fmt::format("`ss -ltnp 'sport = :{}'` names who has it; --port takes another", wanted)));
    }
    if (!socket) return std::unexpected(Failure(socket.error()));
    held[i] = std::move(*socket);
    TRY_ASSIGN(*ports[i], port_of(held[i]));
  }
  return out;
}

std::vector<AddressRange> ranges_of_routes(std::string_view proc_net_route) {
  std::vector<AddressRange> out;
  std::istringstream lines{std::string(proc_net_route)};
  std::string line;
  std::getline(lines, line);  // the heading
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string interface, destination, gateway, flags, references, use, metric, mask;
    fields >> interface >> destination >> gateway >> flags >> references >> use >> metric >> mask;
    const auto base = hex_address(destination);
    const auto bits = hex_address(mask);
    if (base && bits && *bits != 0) out.push_back({*base, *bits});
  }
  return out;
}

Result<std::string> pick_subnet(std::span<const AddressRange> taken, uint32_t start) {
  for (uint32_t i = 0; i < kSubnets; ++i) {
    const uint32_t subnet = kFirstSubnet + (((start + i) % kSubnets) << 16);
    bool free = true;
    for (const AddressRange& range : taken) {
      const uint32_t both = range.mask & kSubnetMask;
      if ((range.base & both) == (subnet & both)) free = false;
    }
    if (free) return fmt::format("{}.{}.0.0/16", subnet >> 24, (subnet >> 16) & 255);
  }
  return fail(ErrorCode::kNoCapacity,
              "no range of addresses is left: this machine has routes to all of 100.96.0.0/11, where a local "
              "Skerry gives its containers theirs");
}

std::optional<AddressRange> parse_subnet(std::string_view text) {
  in_addr parsed{};
  if (!text.ends_with("/16") ||
      ::inet_pton(AF_INET, std::string(text.substr(0, text.size() - 3)).c_str(), &parsed) != 1)
    return std::nullopt;
  return AddressRange{ntohl(parsed.s_addr), kSubnetMask};
}

Result<std::string> dev_configuration(const DevSettings& settings, std::string_view machine_config) {
  toml::parse_result machine = safe_toml::parse(machine_config);
  if (!machine)
    return fail(ErrorCode::kInvalidArgument, "{} line {}: {}", kMachineConfig,
                machine.error().source().begin.line, machine.error().description());
  toml::table out{{"listen", "127.0.0.1"},
                  {"location", "dev"},
                  {"state_dir", settings.state_dir},
                  {"run_dir", settings.run_dir},
                  {"images_dir", settings.images_dir},
                  {"shims_dir", settings.programs.shims},
                  {"tag", settings.tag},
                  {"subnet", settings.subnet},
                  {"ports", toml::table{{"http", settings.ports.http},
                                        {"https", settings.ports.https},
                                        {"api", settings.ports.api}}}};
  for (const char* key : {"users", "limits", "build", "registries"}) {
    if (const toml::table* table = machine.table()[key].as_table(); table != nullptr) out.insert(key, *table);
  }
  // A save a second is a ship a second; the machine's own limit is for what many share.
  toml::table* const limits = out.emplace<toml::table>("limits").first->second.as_table();
  if (limits != nullptr) limits->insert_or_assign("ships_per_hour", kDevShipsPerHour);
  std::ostringstream text;
  text << "# Made by `skerry dev` for one session.\n" << out << "\n";
  return std::move(text).str();
}

}  // namespace skerry::cli
