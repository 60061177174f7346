#include "base/id.h"

#include <sys/random.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>

#include "base/random_pool.h"

namespace skerry {
namespace {
constexpr char kAlphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

int64_t unix_now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}
}  // namespace

std::string make_ulid(int64_t unix_ms, std::string_view random10) {
  unsigned char bytes[16] = {};
  for (int i = 0; i < 6; ++i) bytes[i] = static_cast<unsigned char>(unix_ms >> (8 * (5 - i)));
  for (size_t i = 0; i < 10 && i < random10.size(); ++i) bytes[6 + i] = static_cast<unsigned char>(random10[i]);
  std::string out(26, '0');
  // 130 bits of text hold 128 bits of value: the first character carries the top three.
  for (int i = 0; i < 26; ++i) {
    unsigned value = 0;
    for (int bit = 0; bit < 5; ++bit) {
      const int position = i * 5 + bit - 2;
      const unsigned b = position < 0 ? 0U : (bytes[position / 8] >> (7 - position % 8)) & 1U;
      value = value << 1 | b;
    }
    out[static_cast<size_t>(i)] = kAlphabet[value];
  }
  return out;
}

std::string new_ulid(RandomPool& random) { return make_ulid(unix_now_ms(), random.take(10)); }

std::string new_ulid() {
  char random[10];
  // Cannot fail for 10 bytes once the kernel's pool is up, and blocks until it is.
  if (::getrandom(random, sizeof random, 0) != static_cast<ssize_t>(sizeof random)) std::abort();
  return make_ulid(unix_now_ms(), {random, sizeof random});
}

bool is_ulid(std::string_view text) {
  if (text.size() != 26 || text[0] > '7') return false;
  return text.find_first_not_of(kAlphabet) == std::string_view::npos;
}

}  // namespace skerry
