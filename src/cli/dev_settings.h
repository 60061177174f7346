// What a local session of `skerry dev` is set up with: where Skerry's programs, shims and images lie, which
// addresses and ports are free, and the configuration of the session's own skerryd.
//
// Looks and computes; changes nothing. Used by dev_skerry.cc and verb_dev.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/exit.h"
#include "manifest/manifest.h"

namespace skerry::cli {

inline constexpr std::string_view kMachineConfig = "/etc/skerry/skerry.toml";

struct DevPrograms {
  std::string folder;  // skerryd and its companions
  std::string shims;
};
// Beside this program (an installation, or a build tree's bin/), else where `make up` installs.
Outcome<DevPrograms> find_programs(const std::string& own_folder);
[[nodiscard]] std::string folder_of_this_program();

// $SKERRY_IMAGES, else the machine's. `machine_config` is the text of kMachineConfig, "" where there is none.
[[nodiscard]] std::string images_folder(std::string_view machine_config);
// The base images that the language needs and that are not in the folder.
[[nodiscard]] std::vector<std::string> missing_images(const std::string& folder, manifest::Language language);

struct DevPorts {
  uint16_t http = 0;
  uint16_t https = 0;
  uint16_t api = 0;
};
// Free ones of 127.0.0.1; `http` is what was asked for, if anything was.
Outcome<DevPorts> pick_ports(std::optional<uint16_t> http);

// Addresses base .. base | ~mask, in host byte order.
struct AddressRange {
  uint32_t base = 0;
  uint32_t mask = 0;
};
// Of /proc/net/route; the default route is none.
[[nodiscard]] std::vector<AddressRange> ranges_of_routes(std::string_view proc_net_route);
// "100.96.0.0/16": a range that nothing in `taken` touches, from the `start`th on.
Result<std::string> pick_subnet(std::span<const AddressRange> taken, uint32_t start);
// The inverse, for the subnets that other sessions wrote down.
[[nodiscard]] std::optional<AddressRange> parse_subnet(std::string_view text);

struct DevSettings {
  std::string state_dir;
  std::string run_dir;
  std::string images_dir;
  DevPrograms programs;
  std::string tag;
  std::string subnet;
  DevPorts ports;
};
// TOML for skerryd. The machine's own users, caps and build settings hold for the session as well.
Result<std::string> dev_configuration(const DevSettings& settings, std::string_view machine_config);

}  // namespace skerry::cli
