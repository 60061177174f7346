#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "contract/driver.h"
#include "meter/journal.h"
#include "usage/collector.h"

namespace skerry::usage {
namespace {

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kStart = 1'700'000'000'000 / kHour * kHour;

class UsageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/skerry_usage_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    folder_ = pattern;
    ASSERT_EQ(::mkdir(journal_folder().c_str(), 0700), 0);
    store_ = Store::open(folder_ + "/db", clock_).value();
    journal_ = meter::Journal::open(journal_folder()).value();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string journal_folder() const { return folder_ + "/journal"; }
  static meter::Entry entry() {
    meter::Entry e;
    e.function = "f";
    e.revision = "r";
    e.location = "local";
    e.start_mode = static_cast<uint8_t>(StartMode::kWarm);
    e.status = 200;
    e.start_wall_ms = kStart;
    e.wall_us = 1500;
    e.cpu_us = 700;
    e.memory_mb = 256;
    e.request_bytes = 10;
    e.response_bytes = 20;
    return e;
  }
  Result<Collected> collect() { return Collector(*store_, clock_, journal_folder()).collect(); }
  // All requests that the store has summed.
  int64_t requests() {
    int64_t sum = 0;
    for (const UsageRow& row : store_->usage(0, INT64_MAX).value()) sum += row.requests;
    return sum;
  }

  std::string folder_;
  ManualClock clock_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<meter::Journal> journal_;
};

TEST_F(UsageTest, RecordsAreSummedByFunctionLocationHourAndMode) {
  ASSERT_TRUE(journal_->append(entry()));
  meter::Entry failed = entry();
  failed.status = 502;
  ASSERT_TRUE(journal_->append(failed));
  meter::Entry later = entry();
  later.start_wall_ms += kHour;
  later.start_mode = static_cast<uint8_t>(StartMode::kFork);
  later.status = 0;  // the client left before an answer was begun
  ASSERT_TRUE(journal_->append(later));
  EXPECT_EQ(collect()->records, 3U);

  const auto first_hour = store_->usage(kStart, kStart + kHour).value();
  ASSERT_EQ(first_hour.size(), 1U);
  EXPECT_EQ(first_hour[0].function, FunctionId("f"));
  EXPECT_EQ(first_hour[0].location, "local");
  EXPECT_EQ(first_hour[0].requests, 2);
  EXPECT_EQ(first_hour[0].errors, 1);
  EXPECT_EQ(first_hour[0].wall_us, 3000);
  EXPECT_EQ(first_hour[0].cpu_us, 1400);
  EXPECT_EQ(first_hour[0].memory_mb_ms, 2 * 384);
  EXPECT_EQ(first_hour[0].request_bytes, 20);
  EXPECT_EQ(first_hour[0].response_bytes, 40);
  const auto second_hour = store_->usage(kStart + kHour, kStart + 2 * kHour).value();
  ASSERT_EQ(second_hour.size(), 1U);
  EXPECT_EQ(second_hour[0].start_mode, static_cast<int64_t>(StartMode::kFork));
  EXPECT_EQ(second_hour[0].errors, 1);
}

TEST_F(UsageTest, EachRecordCountsOnceHoweverOftenItIsCollected) {
  for (int i = 1; i <= 5; ++i) {
    ASSERT_TRUE(journal_->append(entry()));
    EXPECT_EQ(collect()->records, 1U);
    EXPECT_EQ(collect()->records, 0U);
    EXPECT_EQ(requests(), i);
  }
}

TEST_F(UsageTest, ARestartOfTheWriterAndOfTheReaderLosesNothing) {
  ASSERT_TRUE(journal_->append(entry()));
  ASSERT_TRUE(collect());
  ASSERT_TRUE(journal_->append(entry()));
  journal_ = meter::Journal::open(journal_folder()).value();  // a new segment
  ASSERT_TRUE(journal_->append(entry()));
  store_.reset();
  store_ = Store::open(folder_ + "/db", clock_).value();
  EXPECT_EQ(collect()->records, 2U);
  EXPECT_EQ(requests(), 3);
}

TEST_F(UsageTest, AKillAtAnyMomentOfCollectingNeitherLosesNorDoubles) {
  constexpr int kRecords = 200;
  constexpr int kRounds = 20;
  for (int round = 1; round <= kRounds; ++round) {
    for (int i = 0; i < kRecords; ++i) ASSERT_TRUE(journal_->append(entry()));
    store_.reset();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // The timer ends it somewhere between opening the database and long after the commit.
      ::ualarm(static_cast<useconds_t>(round * 700), 0);
      ::signal(SIGALRM, SIG_DFL);
      for (;;) {
        auto store = Store::open(folder_ + "/db", clock_);
        if (store) (void)Collector(**store, clock_, journal_folder()).collect();
      }
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    store_ = Store::open(folder_ + "/db", clock_).value();
    ASSERT_TRUE(collect());
    ASSERT_EQ(requests(), round * kRecords);
  }
}

TEST_F(UsageTest, AnEmptiedJournalBeginsAgainAndIsCounted) {
  ASSERT_TRUE(journal_->append(entry()));
  ASSERT_TRUE(journal_->append(entry()));
  ASSERT_TRUE(collect());
  journal_.reset();
  std::filesystem::remove_all(journal_folder());
  ASSERT_EQ(::mkdir(journal_folder().c_str(), 0700), 0);
  journal_ = meter::Journal::open(journal_folder()).value();  // segment 1 once more
  ASSERT_TRUE(journal_->append(entry()));
  EXPECT_EQ(collect()->records, 1U);
  EXPECT_EQ(requests(), 3);
}

TEST_F(UsageTest, ImpossibleRecordsAreSkippedAndCannotMakeASumOverflow) {
  const auto with = [&](auto change) {
    meter::Entry e = entry();
    change(e);
    ASSERT_TRUE(journal_->append(e));
  };
  with([](meter::Entry& e) { e.function.clear(); });
  with([](meter::Entry& e) { e.start_mode = 99; });
  with([](meter::Entry& e) { e.start_wall_ms = -1; });
  with([](meter::Entry& e) { e.wall_us = UINT64_MAX; });
  with([](meter::Entry& e) { e.response_bytes = UINT64_MAX; });
  with([](meter::Entry& e) { e.memory_mb = UINT32_MAX; });
  with([](meter::Entry&) {});
  const auto collected = collect();
  ASSERT_TRUE(collected) << collected.error().message();
  EXPECT_EQ(collected->skipped, 6U);
  EXPECT_EQ(collected->records, 1U);
  EXPECT_EQ(requests(), 1);
  EXPECT_EQ(collect()->skipped, 0U);  // passed for good
}

TEST_F(UsageTest, OnlySegmentsThatAreReadOldAndBehindTheKeptOnesAreRemoved) {
  for (size_t i = 0; i < kSegmentsKept + 2; ++i) {
    ASSERT_TRUE(journal_->append(entry()));
    journal_ = meter::Journal::open(journal_folder()).value();
  }
  const auto count = [&] {
    return std::distance(std::filesystem::directory_iterator(journal_folder()),
                         std::filesystem::directory_iterator());
  };
  const auto before = count();
  // The files are as old as this test; the manual clock stands in 2023, so by it they are from the future.
  EXPECT_EQ(collect()->removed_segments, 0U);
  EXPECT_EQ(count(), before);
  const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  for (uint64_t sequence = 1; sequence <= 2; ++sequence) {
    ASSERT_EQ(::utimensat(AT_FDCWD, (journal_folder() + "/" + meter::segment_name(sequence)).c_str(), old, 0),
              0);
  }
  ASSERT_TRUE(journal_->append(entry()));
  EXPECT_EQ(collect()->removed_segments, 2U);
  EXPECT_EQ(count(), before - 2);
  EXPECT_EQ(requests(), static_cast<int64_t>(kSegmentsKept) + 3);
}

TEST_F(UsageTest, AForeignFileIsNamedAndAnEmptyOneWaits) {
  std::filesystem::copy_file("/proc/self/exe", journal_folder() + "/000000000009.journal");
  std::filesystem::resize_file(journal_folder() + "/000000000009.journal", meter::kSegmentBytes);
  ASSERT_TRUE(journal_->append(entry()));
  const auto refused = collect();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kCorrupt);
  EXPECT_NE(refused.error().message().find("000000000009.journal"), std::string::npos);
  EXPECT_EQ(requests(), 1);  // what stands before it was added
  std::filesystem::resize_file(journal_folder() + "/000000000009.journal", 0);
  EXPECT_TRUE(collect());
}

}  // namespace
}  // namespace skerry::usage
