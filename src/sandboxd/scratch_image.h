// Scratch disks: the writable top of an instance whose function asked for `[runtime] scratch`, as a file system of its own in a sparse file.
//
// filler's: makes each when starter wants one, ahead of need where it can. The file has no name, the loop device clears itself and the mount is
// attached nowhere: all three are gone with the last descriptor or container that uses them, whoever was killed. Nothing is used twice, so nothing
// of one function can be found by another. Refuses what the disk has no room for: each counts with its whole size from the moment it is made.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

class ScratchImages {
 public:
  static constexpr int kMaxTakenDevices = 16;  // passed over for one image: others take loop devices too
  static constexpr size_t kMaxKnown = 512;  // a descriptor each; the rest counts as if it had written nothing
  static constexpr int kFormatTimeMs = 5000;

  explicit ScratchImages(const Settings& settings) : settings_(settings) {}

  // A detached mount of an empty file system of `bytes`, its own tables included. kNoCapacity says what is left of the disk or the budget.
  Result<UniqueFd> make(uint64_t bytes);
  // Gives the host back what the disks that are over had written. To be called now and then.
  void let_go();

 private:
  Result<void> check_room(uint64_t bytes, int folder);
  struct Taken {
    uint64_t promised = 0, written = 0;
  };
  Result<Taken> taken();

  const Settings& settings_;
  std::map<std::string, UniqueFd> known_;  // by loop device: what each has written is known of those that this process made
};

// starter -> filler: one scratch disk of that size, on a connection for nothing else. Answered once, in order: by this and a mount, or an error's text.
inline constexpr std::string_view kScratchMade = "made";
[[nodiscard]] std::string encode_want_scratch(uint64_t bytes);
Result<uint64_t> decode_want_scratch(std::string_view bytes);

}  // namespace skerry::sandbox
