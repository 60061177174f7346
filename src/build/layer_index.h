// LayerIndex: which layer a piece of work gave, by the digest of everything that the work depended on. One small file a key in one folder.
//
// Only a memory: what it names may be gone from the layer store, so its reader asks there and forgets. A file that is damaged or of another
// version counts as absent. Used by the stages of a build; local file I/O of a few hundred bytes.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "contract/ids.h"

namespace skerry {

class LayerIndex {
 public:
  static constexpr size_t kMaxEntries = 4096;  // past it the least recently written half goes
  static constexpr size_t kMaxNoteBytes = 4096;

  struct Entry {
    Digest layer;
    std::string note;  // what else the work found out; one line
  };

  explicit LayerIndex(std::string folder) : folder_(std::move(folder)) {}
  [[nodiscard]] std::optional<Entry> find(const std::string& key) const;
  Result<void> remember(const std::string& key, const Entry& entry) const;
  void forget(const std::string& key) const;

 private:
  void prune() const;
  std::string folder_;
};

// "deps-node-" and the SHA-256 of the parts, each with its length, so that no two lists of parts give the same key.
class KeyMaker {
 public:
  explicit KeyMaker(std::string prefix) : prefix_(std::move(prefix)) {}
  KeyMaker& add(std::string_view part);
  [[nodiscard]] std::string key() const;

 private:
  std::string prefix_;
  std::string parts_;
};

}  // namespace skerry
