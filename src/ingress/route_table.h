// Host -> revision. An immutable table, replaced whole when the configuration changes; a request keeps the one it began with.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "contract/function_config.h"

namespace skerry {

struct RouteTarget {
  FunctionId function;
  std::string function_name;
  RevisionConfig revision;
};

class RouteTable {
 public:
  RouteTable() = default;
  explicit RouteTable(const std::vector<FunctionConfig>& functions);

  // The target for a host (lower case, no port), nullptr when unknown. `pick` (any number) decides between weights.
  [[nodiscard]] std::shared_ptr<const RouteTarget> find(std::string_view host, uint64_t pick) const;
  [[nodiscard]] size_t size() const { return hosts_.size(); }

 private:
  struct Weighted {
    // Shared by the table and by the requests that are under way with it.
    std::shared_ptr<const RouteTarget> target;
    uint64_t up_to = 0;  // running sum of the weights
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, std::vector<Weighted>, Hash, std::equal_to<>> hosts_;
};

}  // namespace skerry
