// What Skerry needs of this machine's kernel, each probed by trying it. filler does so once when it starts: a feature that is missing and that
// nothing replaces ends it by name, and what it found lies in <run_dir>/features.jsonl for `skerry doctor`. `skerry-sandboxd doctor` prints the same.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

inline constexpr std::string_view kFeaturesFile = "features.jsonl";

struct Feature {
  std::string name;
  std::string lacking;      // why it cannot be had; "" where it is there
  std::string replaced_by;  // what happens without it; "" where Skerry cannot do without
  std::string found;        // a version, where there are several
  [[nodiscard]] bool is_missing() const { return !lacking.empty() && replaced_by.empty(); }
};

std::vector<Feature> probe_features(const Settings& settings);
// One JSON line a feature.
[[nodiscard]] std::string features_text(const std::vector<Feature>& features);
// kUnavailable names the features without which nothing starts.
Result<void> require_features(const std::vector<Feature>& features);

}  // namespace skerry::sandbox
