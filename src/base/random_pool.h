// RandomPool: random bytes for names and ids, taken from the kernel 512 at a time.
//
// For one thread, and for what is no secret: the bytes lie in ordinary memory before they are used. Keys come from crypto/random.h. Not to be used
// on both sides of a fork.
#pragma once

#include <sys/random.h>

#include <array>
#include <cstdlib>
#include <string_view>

namespace skerry {

class RandomPool {
 public:
  static constexpr size_t kBytes = 512;

  // `count` bytes that were given to nobody before; valid until the next call.
  std::string_view take(size_t count) {
    if (count > kBytes) std::abort();
    if (kBytes - used_ < count) {
      // up to 256 bytes a getrandom() comes whole, and cannot fail once the kernel's pool is up
      for (size_t at = 0; at < kBytes; at += 256)
        if (::getrandom(bytes_.data() + at, 256, 0) != 256) std::abort();
      used_ = 0;
    }
    used_ += count;
    return {bytes_.data() + used_ - count, count};
  }

 private:
  std::array<char, kBytes> bytes_{};
  size_t used_ = kBytes;
};

}  // namespace skerry
