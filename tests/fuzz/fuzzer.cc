// fuzz_<target>: libFuzzer's entry for the one target that SKERRY_FUZZ_TARGET names.
#include <cstddef>
#include <cstdint>

#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const skerry::fuzz::Target* const target = skerry::fuzz::find_target(SKERRY_FUZZ_TARGET);
  target->run({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
