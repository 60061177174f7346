// What `skerry doctor` looks at: one function a subject, each giving findings with the way to mend them.
// Reads only; needs no gateway and no root.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace skerry::cli {

enum class Health { kOk, kWarning, kMissing };

struct Finding {
  std::string name;  // "kernel", "package nftables"
  Health health = Health::kOk;
  std::string found;  // "6.1.0"
  std::string fix;    // what to do; "" with kOk
};

// `root` stands before /proc, /sys and /lib: tests give their own.
[[nodiscard]] std::vector<Finding> check_kernel(const std::string& root, const std::string& release);
[[nodiscard]] std::vector<Finding> check_cgroups(const std::string& root);
[[nodiscard]] std::vector<Finding> check_network(const std::string& root, const std::string& release);
// What sandboxd found when it last started, by trying each; it alone may.
[[nodiscard]] std::vector<Finding> check_features(const std::string& root);
[[nodiscard]] std::vector<Finding> check_programs(const std::string& path_variable);
[[nodiscard]] std::vector<Finding> check_resources(const std::string& root);
// `own`: what the Skerry of this machine says that it listens on.
[[nodiscard]] std::vector<Finding> check_ports(std::span<const int64_t> own);
[[nodiscard]] std::vector<Finding> check_names();

[[nodiscard]] std::string kernel_release();

}  // namespace skerry::cli
