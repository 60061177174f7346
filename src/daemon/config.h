// The daemons' configuration: /etc/skerry/skerry.toml. Every key is optional; an unknown key, a wrong type or a value out of bounds is an error
// with its line. Read once at start by each process; skerryd passes the file's path on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "build/registry_settings.h"
#include "contract/egress.h"

namespace skerry {

struct ProcessUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
};

struct DaemonConfig {
  std::string domain = "skerry.localhost";
  std::string location = "local";
  std::string listen = "127.0.0.1";  // numeric address of ingress and gateway
  uint16_t https_port = 8443;
  uint16_t http_port = 8080;
  uint16_t api_port = 8081;
  std::string state_dir = "/var/lib/skerry";
  std::string run_dir = "/run/skerry";
  std::string images_dir = "/var/lib/skerry/images";
  std::string shims_dir = "/usr/local/lib/skerry/shims";
  std::string program_dir;  // of the other programs; "" means beside skerryd
  // Names of system users, or numbers; resolved when the file is read.
  ProcessUser edge, control, keeper;
  // Seen on the host by sandboxd: nft table, cgroup and interface prefix. Two daemons on one machine need two tags and subnets.
  std::string tag = "skerry";
  std::string subnet = "198.18.0.0/16";
  int64_t max_instances = 1000;  // of all functions together
  int64_t spares = 2;            // runtimes kept ready, of each kind that functions use
  double access_log_sample = 1;  // of requests that went well
  // [limits]: hard caps of what a manifest may ask for, and of how often.
  int64_t max_memory_mb = 512;
  int64_t max_timeout_ms = 60'000;
  int64_t max_scratch_mb = 4096;         // disk of one instance
  int64_t max_scratch_total_mb = 20'480;  // .. of all together
  int64_t free_disk_mb = 2048;           // what scratch disks leave free, whatever they may take
  int ships_per_hour = 60;  // of all functions together
  int64_t bandwidth_mbit = 500;  // what one container sends, and receives, in a second
  // [egress]
  std::vector<EgressRule> egress_open;  // closed ranges that functions may name in their allow lists
  // [build]
  std::vector<std::string> build_sources;     // local folders, tried before the registries
  std::vector<std::string> build_environment;  // names of host variables that build jobs may see
  int64_t build_memory_mb = 3072;
  int64_t build_timeout_ms = 600'000;
  RegistrySettings registries;  // [registries]: of container images
  // [dns]: whom the containers' names are asked of; none: the resolvers of the host's /etc/resolv.conf.
  std::vector<std::string> dns_resolvers;
};

// The addresses that containers have, host byte order.
struct ContainerNetwork {
  uint32_t network = 0;
  uint32_t mask = 0xFFFF0000;
  uint32_t gateway = 0;  // the host's, on the other end of each container's link
  [[nodiscard]] std::string gateway_text() const;
  [[nodiscard]] bool holds(uint32_t address) const { return (address & mask) == network && address != gateway; }
};
Result<ContainerNetwork> container_network(const DaemonConfig& config);

// `path` need not exist when `required` is kNo: then the defaults stand.
enum class ConfigFile : uint8_t { kOptional, kRequired };
Result<DaemonConfig> read_config(const std::string& path, ConfigFile file);
// The same from text; `name` stands in errors.
Result<DaemonConfig> parse_config(const std::string& text, const std::string& name);
// Where the programs of Skerry lie: as configured, else where the one that asks lies.
[[nodiscard]] std::string program_folder(const DaemonConfig& config);

}  // namespace skerry
