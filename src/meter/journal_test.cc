#include "meter/journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "os/file.h"

namespace skerry::meter {
namespace {

class JournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/skerry_meter_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    path_ = pattern;
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -rf " + path_).c_str()), 0); }
  static Entry entry(int n) {
    Entry e;
    e.function = "f";
    e.revision = "r";
    e.location = "local";
    e.request_id = std::to_string(n);
    e.status = 200;
    e.wall_us = static_cast<uint64_t>(n);
    return e;
  }
  uint64_t read(uint64_t sequence, uint64_t from) {
    auto next = read_segment(path_ + "/" + segment_name(sequence), from, [&](const Entry& e, bool sent) {
      ids_.push_back(e.request_id);
      sent_ += sent ? 1 : 0;
    });
    return next ? *next : UINT64_MAX;
  }
  std::string path_;
  std::vector<std::string> ids_;
  int sent_ = 0;
};

TEST_F(JournalTest, RecordsAreReadInOrderAndOnlyOnce) {
  auto journal = Journal::open(path_).value();
  const uint64_t first = journal->append(entry(1)).value();
  ASSERT_TRUE(journal->append(entry(2)));
  journal->mark_sent(first);
  const uint64_t next = read(1, 0);
  EXPECT_EQ(next, 2U);
  EXPECT_EQ(ids_, (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(sent_, 1);
  ASSERT_TRUE(journal->append(entry(3)));
  EXPECT_EQ(read(1, next), 3U);
  EXPECT_EQ(ids_.size(), 3U);
}

TEST_F(JournalTest, ASegmentThatIsFullIsFollowedByTheNext) {
  auto journal = Journal::open(path_).value();
  uint64_t last = 0;
  for (uint64_t i = 0; i < kRecordsPerSegment + 1; ++i) last = journal->append(entry(static_cast<int>(i))).value();
  journal->mark_sent(last - 1);  // in the previous segment
  EXPECT_EQ(read(1, 0), kRecordsPerSegment);
  EXPECT_EQ(sent_, 1);
  EXPECT_EQ(read(2, 0), 1U);
}

// In a child with a file system of its own that holds one segment: 0, or the line that failed.
int on_a_full_disk(const char* path) {
#define MUST(condition) \
  if (!(condition)) return __LINE__
  constexpr auto kOneSegment = "size=6m", kTwoSegments = "size=11m", kNone = "size=1m";
  MUST(::mount("none", path, "tmpfs", 0, kNone) == 0);
  Entry e;
  e.function = "f";
  {
    auto journal = Journal::open(path);
    MUST(journal);
    const auto refused = (*journal)->append(e);
    MUST(!refused && refused.error().code() == ErrorCode::kNoCapacity);
    MUST(::mount("none", path, nullptr, MS_REMOUNT, kOneSegment) == 0);
    MUST((*journal)->append(e));
  }
  for (int i = 0; i < 2; ++i) {
    auto journal = Journal::open(path);
    MUST(journal && (*journal)->append(e));
  }
  MUST(*read_segment(std::string(path) + "/" + segment_name(1), 0, [](const Entry&, bool) {}) == 3);
  MUST(::mount("none", path, nullptr, MS_REMOUNT, kTwoSegments) == 0);
  auto journal = Journal::open(path);
  MUST(journal && (*journal)->append(e));
  MUST(*read_segment(std::string(path) + "/" + segment_name(2), 0, [](const Entry&, bool) {}) == 1);
#undef MUST
  return 0;
}

TEST_F(JournalTest, AFullDiskLosesNoRecordWhileTheNewestSegmentHasRoom) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::unshare(::geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) ::_exit(255);
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(255);
    ::_exit(on_a_full_disk(path_.c_str()));
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 255) GTEST_SKIP() << "no mount namespace to be had here";
  EXPECT_EQ(WEXITSTATUS(status), 0) << "the line that failed";
}

TEST_F(JournalTest, WhatWasAppendedSurvivesAKill) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto journal = Journal::open(path_);
    if (journal && (*journal)->append(entry(7))) ::raise(SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read(1, 0), 1U);
  auto again = Journal::open(path_).value();
  ASSERT_TRUE(again->append(entry(8)));
  EXPECT_EQ(read(2, 0), 1U);
  EXPECT_EQ(ids_, (std::vector<std::string>{"7", "8"}));
}

TEST_F(JournalTest, ATornRecordIsSkipped) {
  {
    auto journal = Journal::open(path_).value();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(journal->append(entry(i)));
  }
  const UniqueFd fd = open_at(AT_FDCWD, path_ + "/" + segment_name(1), O_RDWR).value();
  ASSERT_EQ(::pwrite(fd.get(), "X", 1, 2 * kRecordBytes + 100), 1);
  EXPECT_EQ(read(1, 0), 3U);
  EXPECT_EQ(ids_, (std::vector<std::string>{"0", "2"}));
}

TEST_F(JournalTest, ASegmentMadeAgainUnderTheSameNameHasAnotherKey) {
  const std::string name = segment_name(1);
  const auto key = [&] {
    auto journal = Journal::open(path_).value();
    return segment_key(path_, name).value();
  };
  const std::string first = key();
  EXPECT_EQ(segment_key(path_, name).value(), first);  // the file's own, whoever reads
  ASSERT_EQ(::unlink((path_ + "/" + name).c_str()), 0);
  const std::string second = key();
  EXPECT_TRUE(first.starts_with(name + "-") && second.starts_with(name + "-"));
  EXPECT_NE(first, second);
}

TEST_F(JournalTest, AForeignFileIsAnError) {
  const UniqueFd directory = open_at(AT_FDCWD, path_, O_RDONLY | O_DIRECTORY).value();
  ASSERT_TRUE(write_file_atomic(directory.get(), segment_name(1), std::string(kSegmentBytes, 'x'), 0600));
  EXPECT_EQ(read(1, 0), UINT64_MAX);
}

}  // namespace
}  // namespace skerry::meter
