#include "gateway/log_reader.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/log.h"

namespace skerry {
namespace {

const FunctionId kFunction("01F");
constexpr int64_t kStart = 1'700'000'000'000;

class LogReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/skerry_logs_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    folder_ = pattern;
    std::filesystem::create_directory(folder_ + "/01F");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string line(uint64_t n, const std::string& text = "x", const std::string& request = "") {
    return fmt::format(R"({{"time":"{}","function":"01F","revision":"r","instance":"i","location":"here","stream":"stdout",{}"line":"{}","cursor":{}}})",
                       format_rfc3339_ms(kStart + static_cast<int64_t>(n) * 1000), request.empty() ? "" : fmt::format("\"request_id\":\"{}\",", request), text, n) +
           "\n";
  }
  void append(int segment, const std::string& text) { std::ofstream(fmt::format("{}/01F/{:012}.jsonl", folder_, segment), std::ios::app) << text; }
  std::vector<uint64_t> cursors(const std::string& lines) {
    std::vector<uint64_t> out;
    for (size_t at = lines.find("\"cursor\":"); at != std::string::npos; at = lines.find("\"cursor\":", at + 1)) out.push_back(std::stoull(lines.substr(at + 9)));
    return out;
  }
  std::vector<uint64_t> read(const LogQuery& query) { return cursors(reader().read(kFunction, query)->lines); }
  LogReader reader() { return LogReader(folder_); }
  using List = std::vector<uint64_t>;
  std::string folder_;
};

TEST_F(LogReaderTest, SegmentsAreReadInOrderAndTheNewestLinesWin) {
  append(2, line(3) + line(4));
  append(1, line(1) + line(2));
  append(10, line(5));
  EXPECT_EQ(read({}), (List{1, 2, 3, 4, 5}));
  LogQuery two;
  two.limit = 2;
  EXPECT_EQ(read(two), (List{4, 5}));
  two.limit = 0;
  EXPECT_EQ(read(two), List{});
}

TEST_F(LogReaderTest, ACursorGivesTheOldestAfterIt) {
  append(1, line(1) + line(2) + line(3));
  append(2, line(4) + line(5));
  LogQuery query;
  query.after_cursor = 1;
  query.limit = 3;
  const auto page = reader().read(kFunction, query);
  EXPECT_EQ(cursors(page->lines), (List{2, 3, 4}));
  EXPECT_EQ(page->last_cursor, 4U);
  query.after_cursor = page->last_cursor;
  EXPECT_EQ(read(query), List{5});
  query.after_cursor = 5;
  const auto none = reader().read(kFunction, query);
  EXPECT_EQ(none->count, 0U);
  EXPECT_EQ(none->last_cursor, 5U);
}

TEST_F(LogReaderTest, SinceIsInAndUntilIsOut) {
  append(1, line(1) + line(2) + line(3) + line(4));
  LogQuery query;
  query.since_ms = kStart + 2000;
  query.until_ms = kStart + 4000;
  EXPECT_EQ(read(query), (List{2, 3}));
}

TEST_F(LogReaderTest, ARequestsLinesAreFoundAndNotForged) {
  append(1, line(1, "a", "req-1") + line(2, "b", "req-2") + line(3, "c") + line(4, R"(\"request_id\":\"req-1\")"));
  LogQuery query;
  query.request_id = "req-1";
  EXPECT_EQ(read(query), List{1});
}

TEST_F(LogReaderTest, AHalfWrittenLineAndAFunctionWithoutLogsAreNothing) {
  append(1, line(1) + line(2).substr(0, 40));
  EXPECT_EQ(read({}), List{1});
  EXPECT_EQ(reader().read(FunctionId("other"), {})->count, 0U);
}

TEST_F(LogReaderTest, APageHasABoundInBytes) {
  const std::string long_text(16 * 1024, 'x');
  for (int segment = 1; segment <= 5; ++segment) {
    std::string text;
    for (uint64_t i = 0; i < 256; ++i) text += line(static_cast<uint64_t>(segment) * 1000 + i, long_text);
    append(segment, text);
  }
  LogQuery query;
  query.limit = LogReader::kMaxLines;
  const auto page = reader().read(kFunction, query);
  EXPECT_LE(page->lines.size(), LogReader::kMaxPageBytes);
  EXPECT_GT(page->lines.size(), LogReader::kMaxPageBytes - 2 * long_text.size());
  EXPECT_EQ(page->last_cursor, 5255U);
}

TEST_F(LogReaderTest, AFollowerGivesWhatIsAddedAlsoInNewSegments) {
  append(1, line(1));
  const LogReader logs = reader();
  LogReader::Follower follower(logs, kFunction);
  follower.skip_to_end();
  EXPECT_EQ(follower.look({}).count, 0U);
  append(1, line(2) + line(3).substr(0, 30));
  EXPECT_EQ(cursors(follower.look({}).lines), List{2});
  append(1, line(3).substr(30));
  append(2, line(4));
  append(3, line(5));
  const LogPage page = follower.look({});
  EXPECT_EQ(cursors(page.lines), (List{3, 4, 5}));
  EXPECT_EQ(page.last_cursor, 5U);
  EXPECT_EQ(follower.look({}).count, 0U);
}

TEST_F(LogReaderTest, AFollowerThatBeginsInsideALineGivesItWhole) {
  append(1, line(1) + line(2).substr(0, 30));
  const LogReader logs = reader();
  LogReader::Follower follower(logs, kFunction);
  follower.skip_to_end();
  append(1, line(2).substr(30));
  EXPECT_EQ(follower.look({}).lines, line(2));
}

TEST_F(LogReaderTest, AFollowerOfNothingGivesTheFirstLine) {
  const LogReader logs = reader();
  LogReader::Follower follower(logs, FunctionId("01G"));
  follower.skip_to_end();
  EXPECT_EQ(follower.look({}).count, 0U);
  std::filesystem::create_directory(folder_ + "/01G");
  std::ofstream(folder_ + "/01G/000000000001.jsonl") << line(1);
  EXPECT_EQ(cursors(follower.look({}).lines), List{1});
}

TEST_F(LogReaderTest, AFollowerLeavesOutWhatWasShownAlready) {
  append(1, line(1));
  const LogReader logs = reader();
  LogReader::Follower follower(logs, kFunction);
  follower.skip_to_end();
  append(1, line(2));  // between skip_to_end() and read()
  LogQuery query;
  query.after_cursor = logs.read(kFunction, {})->last_cursor;
  append(1, line(3));
  EXPECT_EQ(cursors(follower.look(query).lines), List{3});
}

TEST_F(LogReaderTest, AFollowerGoesOnAfterSegmentsThatWereRemoved) {
  append(1, line(1));
  const LogReader logs = reader();
  LogReader::Follower follower(logs, kFunction);
  follower.skip_to_end();
  std::filesystem::remove(folder_ + "/01F/000000000001.jsonl");
  append(9, line(2));
  EXPECT_EQ(cursors(follower.look({}).lines), List{2});
}

}  // namespace
}  // namespace skerry
