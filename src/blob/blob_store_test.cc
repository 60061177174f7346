#include "blob/blob_store.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "os/file.h"

namespace skerry {
namespace {

class BlobStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/skerry_blob_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -rf " + folder_).c_str()), 0); }
  bool temporary_left() { return std::system(("ls -A " + folder_ + " | grep -q '^\\.tmp'").c_str()) == 0; }
  std::string folder_;
};

TEST_F(BlobStoreTest, BytesAreFoundByTheirDigest) {
  BlobStore store = BlobStore::open(folder_).value();
  auto writer = store.create(100).value();
  ASSERT_TRUE(writer.write("hel"));
  ASSERT_TRUE(writer.write("lo"));
  const Digest digest = writer.commit().value();
  EXPECT_EQ(digest.str(), "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  EXPECT_EQ(read_all(store.open_blob(digest)->get(), 100).value(), "hello");
}

TEST_F(BlobStoreTest, TheLimitHoldsAndNothingIsLeft) {
  BlobStore store = BlobStore::open(folder_).value();
  {
    auto writer = store.create(4).value();
    EXPECT_TRUE(writer.write("1234"));
    EXPECT_EQ(writer.write("5").error().code(), ErrorCode::kTooLarge);
    EXPECT_TRUE(temporary_left());
  }
  EXPECT_FALSE(temporary_left());
}

TEST_F(BlobStoreTest, WhatIsNotAsAnnouncedIsNotKept) {
  BlobStore store = BlobStore::open(folder_).value();
  auto writer = store.create(100).value();
  ASSERT_TRUE(writer.write("hello"));
  const Digest announced = Digest::parse("sha256:" + std::string(64, '0')).value();
  EXPECT_EQ(writer.commit(announced).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_FALSE(store.open_blob(Digest::parse("sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824").value()));
}

TEST_F(BlobStoreTest, WhatAKilledWriterLeftGoesAtTheNextStart) {
  ASSERT_EQ(std::system(("touch " + folder_ + "/.tmp-x").c_str()), 0);
  ASSERT_TRUE(BlobStore::open(folder_));
  EXPECT_FALSE(temporary_left());
}

}  // namespace
}  // namespace skerry
