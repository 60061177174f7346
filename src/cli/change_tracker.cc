#include "cli/change_tracker.h"

namespace skerry::cli {

std::set<std::string> ChangeTracker::changed(const Snapshot& now) const {
  std::set<std::string> out;
  for (const auto& [path, state] : now) {
    const auto before = last_.find(path);
    if (before == last_.end() || before->second != state) out.insert(path);
  }
  for (const auto& [path, state] : last_) {
    if (!now.contains(path)) out.insert(path);
  }
  for (const std::string& path : restless_) out.erase(path);
  return out;
}

bool ChangeTracker::differs(const Snapshot& now) const {
  return !any_ || !changed(now).empty();
}

void ChangeTracker::shipping(Snapshot now) {
  last_ = std::move(now);
  any_ = true;
}

std::vector<std::string> ChangeTracker::shipped(const Snapshot& now) {
  std::map<std::string, int> rounds;
  std::vector<std::string> out;
  for (const std::string& path : changed(now)) {
    const auto before = rounds_.find(path);
    const int count = (before == rounds_.end() ? 0 : before->second) + 1;
    if (count < kRestlessRounds) {
      rounds[path] = count;
      continue;
    }
    restless_.insert(path);
    out.push_back(path);
  }
  rounds_ = std::move(rounds);
  return out;
}

}  // namespace skerry::cli
