// What is fuzzed: each decoder of bytes that another process, or a file, may have made. A target takes any bytes, and fails (abort) when a decoder
// accepts what its encoder would not say again: then two processes may read one message as two different things.
//
// Two programs use them: fuzz_<target> (preset fuzz, libFuzzer with the sanitizers; scripts/fuzz) and fuzz_test, the kept corpus and seeded mutations
// of it in the ordinary build.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::fuzz {

struct Target {
  std::string_view name;
  void (*run)(std::string_view bytes);
  // Well-formed inputs to begin with, made by the encoders: they follow the format when it changes.
  std::vector<std::string> (*seeds)();
  int mutations = 200'000;  // that fuzz_test tries: half a second or less
};

std::span<const Target> targets();
// nullptr where there is none of that name.
const Target* find_target(std::string_view name);

// What tests/fuzz/corpus/<target>.hex keeps: one input a line, in hexadecimal, since the tree has no binaries. Empty when there is no such file.
std::vector<std::string> kept_corpus(std::string_view name);

}  // namespace skerry::fuzz
