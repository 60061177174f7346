// The fuzz targets in the ordinary build: the seeds, the kept corpus, and a few thousand mutations of both from a fixed seed, the same ones each time.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "targets.h"

namespace skerry::fuzz {
namespace {

constexpr size_t kMaxInput = 64 * 1024;

// What breaks decoders: lengths at and past their bounds, and what is special in a byte.
constexpr uint32_t kNumbers[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 26, 64, 400, 401, 4096, 16384, 16385, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff};

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}
  std::string operator()(const std::vector<std::string>& corpus) {
    std::string out = corpus[below(corpus.size())];
    for (size_t i = 0, times = 1 + below(4); i < times; ++i) change(out, corpus);
    out.resize(std::min(out.size(), kMaxInput));
    return out;
  }

 private:
  size_t below(size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  void change(std::string& out, const std::vector<std::string>& corpus) {
    const size_t at = below(out.size() + 1), left = out.size() - at, count = below(std::min<size_t>(left, 32) + 1);
    switch (below(7)) {
      case 0: if (left > 0) out[at] = static_cast<char>(out[at] ^ (1 << below(8))); break;
      case 1: if (left > 0) out[at] = static_cast<char>(random_()); break;
      case 2: out.resize(at); break;
      case 3: out.erase(at, count); break;
      case 4: out.insert(at, out.substr(at, count)); break;
      case 5: {
        const uint32_t number = kNumbers[below(std::size(kNumbers))];
        if (left >= sizeof number) std::memcpy(out.data() + at, &number, sizeof number);
        break;
      }
      default: {
        const std::string& other = corpus[below(corpus.size())];
        out = out.substr(0, at) + other.substr(below(other.size() + 1));
      }
    }
  }
  std::mt19937 random_;
};

class Fuzz : public testing::TestWithParam<Target> {};

TEST_P(Fuzz, NoInputIsReadAsWhatItIsNot) {
  const Target& target = GetParam();
  std::vector<std::string> corpus = target.seeds();
  ASSERT_FALSE(corpus.empty());
  for (std::string& kept : kept_corpus(target.name)) corpus.push_back(std::move(kept));
  target.run({});
  for (const std::string& input : corpus) {
    target.run(input);
    for (size_t size = 0; size < std::min<size_t>(input.size(), 512); ++size) target.run(std::string_view(input).substr(0, size));
  }
  Mutator mutated(20'261'124);
  for (int i = 0; i < target.mutations; ++i) target.run(mutated(corpus));
}

INSTANTIATE_TEST_SUITE_P(Each, Fuzz, testing::ValuesIn(targets().begin(), targets().end()), [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace skerry::fuzz
