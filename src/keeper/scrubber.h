// Scrubber: replaces secret values in a stream of bytes by "[secret NAME]", wherever reads cut the stream.
//
// Overlapping values become one replacement, named after the one that starts first. Bytes that may be the
// beginning of a value are held back until what follows decides. Time is linear in the input for each value
// (Knuth-Morris-Pratt), whatever values and output are: both are the tenant's, and the process is
// everybody's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "contract/secret_blob.h"

namespace skerry::keeper {

inline constexpr size_t kMinScrubbedBytes = 6;  // shorter values would blank out ordinary words
inline constexpr size_t kMinScrubbedLineBytes =
    16;  // a line of a value of several lines, which loggers print one by one
inline constexpr size_t kMaxPatterns = 256;  // whole values first, then lines

// The values to look for. The views given must outlive it; shared by the two streams of one instance.
class Patterns {
 public:
  explicit Patterns(std::span<const SecretView> secrets);
  [[nodiscard]] bool empty() const { return patterns_.empty(); }
  [[nodiscard]] size_t size() const { return patterns_.size(); }
  // What the tables take, for the keeper's budget.
  [[nodiscard]] size_t table_bytes() const;

 private:
  friend class Scrubber;
  struct Pattern {
    std::string_view value;
    std::string_view name;
    std::vector<uint16_t> border;  // border[n]: longest proper prefix of value that ends value[0..n)
  };
  void add(std::string_view value, std::string_view name, size_t min_bytes);
  std::vector<Pattern> patterns_;
};

class Scrubber {
 public:
  explicit Scrubber(const Patterns& patterns) : patterns_(patterns), matched_(patterns.size()) {}

  // Takes the next bytes. What is decided by them can then be released.
  void feed(std::string_view bytes);
  // The stream has ended: nothing is held back any more.
  void finish();
  // Appends decided bytes to `out` until it has at least `enough`, or there are no more.
  void release(std::string& out, size_t enough);
  [[nodiscard]] bool has_ready() const { return ready_ > 0; }
  // Undecided bytes: fewer than the longest value has.
  [[nodiscard]] size_t held() const { return window_.size() - ready_; }

 private:
  struct Hit {
    uint16_t length = 0;  // of the longest value that ends here
    uint16_t pattern = 0;
  };
  void match(size_t from);
  void mark();

  static constexpr uint16_t kPlain = 0, kInside = 1, kFirstPattern = 2;

  const Patterns& patterns_;
  std::vector<uint16_t> matched_;  // by pattern: length of its prefix that ends the window
  std::string window_;
  std::vector<Hit> hits_;       // by byte of the window
  std::vector<uint16_t> mark_;  // by byte: plain, inside of a secret, or kFirstPattern + n where one begins
  size_t ready_ = 0;
};

}  // namespace skerry::keeper
