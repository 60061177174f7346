// ChangeTracker: which changes of a folder are worth a ship. Pure; used by `skerry dev`.
//
// A file that changes again and again while the folder is being shipped (a log, a database, a build's output)
// would keep `dev` shipping for ever and use up the gateway's limits for everyone. After kRestlessRounds such
// ships in a row it is restless: named once, and not followed any more.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace skerry::cli {

class ChangeTracker {
 public:
  // Path -> size, time, mode: equal text, equal file.
  using Snapshot = std::map<std::string, std::string>;
  static constexpr int kRestlessRounds = 5;

  // Whether `now` differs from what was shipped last in a file that is followed. True before the first ship.
  [[nodiscard]] bool differs(const Snapshot& now) const;
  // `now` is about to be shipped.
  void shipping(Snapshot now);
  // The ship is over and the folder is `now`: the files that have just become restless.
  std::vector<std::string> shipped(const Snapshot& now);

 private:
  [[nodiscard]] std::set<std::string> changed(const Snapshot& now) const;

  Snapshot last_;
  bool any_ = false;
  std::map<std::string, int> rounds_;  // ships in a row during which the file changed
  std::set<std::string> restless_;
};

}  // namespace skerry::cli
