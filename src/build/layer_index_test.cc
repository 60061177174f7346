#include "build/layer_index.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "crypto/hash.h"
#include "os/file.h"

namespace skerry {
namespace {

class LayerIndexTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/skerry_index_XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
  Digest layer_ = Digest::of_bytes(sha256("layer"));
};

TEST_F(LayerIndexTest, RemembersUntilItIsToldToForget) {
  const LayerIndex index(folder_);
  EXPECT_FALSE(index.find("deps-a"));
  ASSERT_TRUE(index.remember("deps-a", {layer_, "a note"}));
  const auto found = index.find("deps-a");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->layer, layer_);
  EXPECT_EQ(found->note, "a note");
  index.forget("deps-a");
  EXPECT_FALSE(index.find("deps-a"));
}

TEST_F(LayerIndexTest, ADamagedFileCountsAsAbsent) {
  const LayerIndex index(folder_);
  ASSERT_TRUE(index.remember("k", {layer_, "note"}));
  const std::string whole = *read_file(folder_ + "/k", 10'000);
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    std::ofstream(folder_ + "/k", std::ios::trunc) << whole.substr(0, cut);
    EXPECT_FALSE(index.find("k")) << cut;
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    std::ofstream(folder_ + "/k", std::ios::trunc) << changed;
    EXPECT_FALSE(index.find("k")) << at;
  }
}

TEST_F(LayerIndexTest, ANoteIsOneBoundedLine) {
  const LayerIndex index(folder_);
  EXPECT_TRUE(index.remember("k", {layer_, std::string(LayerIndex::kMaxNoteBytes, 'n')}));
  EXPECT_EQ(index.find("k")->note.size(), LayerIndex::kMaxNoteBytes);
  EXPECT_FALSE(index.remember("k", {layer_, std::string(LayerIndex::kMaxNoteBytes + 1, 'n')}));
  EXPECT_FALSE(index.remember("k", {layer_, "two\nlines"}));
}

TEST_F(LayerIndexTest, IsNeverLargerThanItsBound) {
  const LayerIndex index(folder_);
  for (size_t i = 0; i < LayerIndex::kMaxEntries; ++i) std::ofstream(folder_ + "/old-" + std::to_string(i)) << "x";
  ASSERT_TRUE(index.remember("new", {layer_, ""}));
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) ++count;
  EXPECT_EQ(count, LayerIndex::kMaxEntries / 2 + 1);
  EXPECT_TRUE(index.find("new"));
}

TEST(KeyMaker, DifferentPartsGiveDifferentKeys) {
  EXPECT_EQ(KeyMaker("a").add("x").add("y").key(), KeyMaker("a").add("x").add("y").key());
  EXPECT_NE(KeyMaker("a").add("x").add("y").key(), KeyMaker("a").add("xy").key());
  EXPECT_NE(KeyMaker("a").add("").add("x").key(), KeyMaker("a").add("x").key());
  EXPECT_NE(KeyMaker("a").add("1:x").key(), KeyMaker("a").add("x").key());
  EXPECT_NE(KeyMaker("a").key(), KeyMaker("b").key());
}

}  // namespace
}  // namespace skerry
