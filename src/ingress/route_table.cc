#include "ingress/route_table.h"

namespace skerry {

RouteTable::RouteTable(const std::vector<FunctionConfig>& functions) {
  for (const FunctionConfig& function : functions) {
    std::unordered_map<RevisionId, std::shared_ptr<const RouteTarget>> targets;
    for (const RevisionConfig& revision : function.revisions)
      targets[revision.id] = std::make_shared<const RouteTarget>(RouteTarget{function.id, function.name, revision});
    for (const Route& route : function.routes) {
      std::vector<Weighted> weighted;
      uint64_t sum = 0;
      for (const auto& [revision, weight] : route.targets) {
        const auto target = targets.find(revision);
        if (target == targets.end() || weight == 0) continue;
        sum += weight;
        weighted.push_back({target->second, sum});
      }
      if (!weighted.empty()) hosts_[route.host] = std::move(weighted);
    }
  }
}

std::shared_ptr<const RouteTarget> RouteTable::find(std::string_view host, uint64_t pick) const {
  const auto it = hosts_.find(host);
  if (it == hosts_.end()) return nullptr;
  const std::vector<Weighted>& weighted = it->second;
  if (weighted.size() > 1) {
    const uint64_t point = pick % weighted.back().up_to;
    for (const Weighted& w : weighted)
      if (point < w.up_to) return w.target;
  }
  return weighted.front().target;
}

}  // namespace skerry
