#include "gateway/garbage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/id.h"
#include "base/unique_fd.h"

namespace skerry {
namespace {

class GarbageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/skerry_garbage_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    folder_ = pattern;
    for (const char* name : {"/blobs", "/builds", "/logs"}) std::filesystem::create_directory(folder_ + name);
    store_ = Store::open(folder_ + "/db", clock_).value();
    ASSERT_TRUE(store_->add_function({FunctionId(kept_), "orders"}));
    RevisionRow revision;
    revision.id = RevisionId(kept_);
    revision.function = FunctionId(kept_);
    revision.source_digest = named_;
    ASSERT_TRUE(store_->add_revision(revision, 10));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  // A file whose last change was `age_ms` ago by the test's clock.
  void file(const std::string& path, int64_t age_ms) {
    std::ofstream(folder_ + path) << "x";
    age(path, age_ms);
  }
  void age(const std::string& path, int64_t age_ms) {
    const int64_t ms = clock_.wall_ms() - age_ms;
    const timespec times[2] = {{ms / 1000, ms % 1000 * 1'000'000}, {ms / 1000, ms % 1000 * 1'000'000}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (folder_ + path).c_str(), times, 0), 0);
  }
  bool there(const std::string& path) { return std::filesystem::exists(folder_ + path); }
  Removed collect() {
    auto removed = Garbage(*store_, clock_, logger_, {folder_ + "/blobs", folder_ + "/builds", folder_ + "/logs"}).collect();
    EXPECT_TRUE(removed) << removed.error().message();
    return removed.value_or(Removed{});
  }
  static std::string hex(char c) { return std::string(64, c); }

  std::string folder_;
  ManualClock clock_;
  UniqueFd null_{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  Logger logger_{null_.get(), "test"};
  std::unique_ptr<Store> store_;
  const std::string kept_ = new_ulid(), gone_ = new_ulid();
  const std::string named_ = "sha256:" + hex('a');
};

TEST_F(GarbageTest, UploadsStayForADayAndAsLongAsARevisionNamesThem) {
  ASSERT_TRUE(store_->put_upload({named_, 1, 0, 0}));
  ASSERT_TRUE(store_->put_upload({"sha256:" + hex('b'), 1, 0, 0}));
  file("/blobs/" + hex('a'), 0);
  file("/blobs/" + hex('b'), 0);
  clock_.advance(std::chrono::milliseconds(Garbage::kUploadKeptMs));
  EXPECT_EQ(collect().uploads, 0);
  clock_.advance(std::chrono::milliseconds(1));
  EXPECT_EQ(collect().uploads, 1);
  EXPECT_TRUE(there("/blobs/" + hex('a')));
  EXPECT_FALSE(there("/blobs/" + hex('b')));
  EXPECT_FALSE(store_->find_upload("sha256:" + hex('b'))->has_value());
}

TEST_F(GarbageTest, WhatABuildMadeGoesWhenItIsOld) {
  file("/blobs/" + hex('c'), Garbage::kBlobKeptMs);
  file("/blobs/" + hex('d'), Garbage::kBlobKeptMs - 1);
  file("/blobs/.tmp-x", Garbage::kBlobKeptMs * 9);  // the blob store's own
  EXPECT_EQ(collect().blobs, 1);
  EXPECT_FALSE(there("/blobs/" + hex('c')));
  EXPECT_TRUE(there("/blobs/" + hex('d')));
  EXPECT_TRUE(there("/blobs/.tmp-x"));
}

TEST_F(GarbageTest, BuildLogsGoWithTheirRevisions) {
  file("/builds/" + kept_ + ".log", Garbage::kLogKeptMs * 9);
  file("/builds/" + gone_ + ".log", Garbage::kLogKeptMs);
  file("/builds/something.log", Garbage::kLogKeptMs * 9);
  EXPECT_EQ(collect().build_logs, 1);
  EXPECT_TRUE(there("/builds/" + kept_ + ".log"));
  EXPECT_FALSE(there("/builds/" + gone_ + ".log"));
  EXPECT_TRUE(there("/builds/something.log"));
}

TEST_F(GarbageTest, LogsGoAnHourAfterTheirFunction) {
  for (const std::string& id : {kept_, gone_}) {
    std::filesystem::create_directory(folder_ + "/logs/" + id);
    file("/logs/" + id + "/000000000001.jsonl", 0);
    age("/logs/" + id, Garbage::kLogKeptMs - 1);
  }
  EXPECT_EQ(collect().function_logs, 0);
  clock_.advance(std::chrono::milliseconds(1));
  EXPECT_EQ(collect().function_logs, 1);
  EXPECT_TRUE(there("/logs/" + kept_ + "/000000000001.jsonl"));
  EXPECT_FALSE(there("/logs/" + gone_));
}

TEST_F(GarbageTest, FoldersThatAreMissingAreNothing) {
  std::filesystem::remove_all(folder_ + "/logs");
  EXPECT_EQ(collect().function_logs, 0);
}

}  // namespace
}  // namespace skerry
