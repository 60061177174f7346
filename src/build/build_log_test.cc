#include "build/build_log.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/id.h"
#include "os/file.h"

namespace skerry {
namespace {

class Lines final : public BuildProgress {
 public:
  std::vector<std::string> lines;
  void stage(std::string_view, StageState, int64_t) override {}
  void log(std::string_view, std::string_view line) override { lines.emplace_back(line); }
  void warning(std::string_view) override {}
};

class BuildLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/skerry_log_XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
    id_ = new_ulid();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string kept() const { return *read_file(folder_ + "/" + id_ + ".log", 64 << 20); }
  std::string folder_, id_;
  Lines lines_;
};

TEST_F(BuildLogTest, LinesAreWholeHoweverTheyArrive) {
  BuildLog log = *BuildLog::create(folder_, id_, lines_);
  for (const char* piece : {"on", "e\ntw", "o\n\nlast"}) log.write("deps", piece);
  log.flush("deps");
  log.flush("deps");
  EXPECT_EQ(lines_.lines, (std::vector<std::string>{"one", "two", "", "last"}));
  EXPECT_EQ(kept(), "one\ntwo\n\nlast");
}

TEST_F(BuildLogTest, ALineIsCutAtItsBound) {
  BuildLog log = *BuildLog::create(folder_, id_, lines_);
  log.write("deps", std::string(BuildLog::kMaxLineBytes, 'a') + "\n" + std::string(BuildLog::kMaxLineBytes + 5, 'b') + "\n");
  log.write("deps", std::string(3 * BuildLog::kMaxLineBytes, 'c'));  // no end in sight
  ASSERT_EQ(lines_.lines.size(), 3U);
  for (const std::string& line : lines_.lines) EXPECT_EQ(line.size(), BuildLog::kMaxLineBytes);
}

TEST_F(BuildLogTest, AFloodIsCutAndSaidSo) {
  BuildLog log = *BuildLog::create(folder_, id_, lines_);
  const std::string block(1 << 20, 'x');
  for (size_t i = 0; i < 20; ++i) log.write("build", block + "\n");
  const std::string text = kept();
  EXPECT_LE(text.size(), BuildLog::kMaxBytes + 100);
  EXPECT_TRUE(text.ends_with("(the log is cut here: it is larger than 16 MB)\n"));
  const size_t shown = lines_.lines.size();
  log.write("build", "more\n");
  EXPECT_EQ(lines_.lines.size(), shown);
}

TEST_F(BuildLogTest, AnIdThatIsNoIdMakesNoFile) {
  for (const char* id : {"", "../escape", "0123"}) EXPECT_FALSE(BuildLog::create(folder_, id, lines_)) << id;
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST(ShownLine, IsWhatATerminalShowsInTheEnd) {
  EXPECT_EQ(shown_line("10%\r50%\r100%"), "100%");
  EXPECT_EQ(shown_line("done\r\r"), "done");
  EXPECT_EQ(shown_line("\x1b[31;1mred\x1b[0m and \x1b[2Kplain"), "red and plain");
  EXPECT_EQ(shown_line("a\tb\x07\x7f\x1b]0;title"), "a  b]0;title");
  EXPECT_EQ(shown_line("\x1b["), "");
  EXPECT_EQ(shown_line("größe"), "größe");
}

}  // namespace
}  // namespace skerry
