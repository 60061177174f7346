#include "manifest/select.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "manifest/ignore.h"

namespace skerry::manifest {
namespace {

namespace fs = std::filesystem;

TEST(Glob, MatchesAsGitAndDockerDo) {
  struct Case {
    std::string_view glob, path;
    bool matches;
  };
  const Case cases[] = {
      {"*.pyc", "a.pyc", true},
      {"*.pyc", "a/b.pyc", false},
      {"**/*.pyc", "a/b.pyc", true},
      {"**/*.pyc", "b.pyc", true},
      {"a/**", "a/b/c", true},
      {"a/**", "a", false},
      {"a/**/z", "a/z", true},
      {"a/**/z", "a/b/c/z", true},
      {"a/**/z", "a/b/c", false},
      {"f?o", "foo", true},
      {"f?o", "fo", false},
      {"f?o", "f/o", false},
      {"[a-c]x", "bx", true},
      {"[!a-c]x", "bx", false},
      {"[^a-c]x", "zx", true},
      {"[]x", "[]x", true},
      {"[a", "[a", true},
      {"\\*", "*", true},
      {"\\*", "a", false},
      {"a*b*c", "axxbyyc", true},
      {"a*b*c", "axxbyy", false},
      {"*", "", false},
      {"", "", true},
      {"**", "a/b", true},
      {"*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
  };
  for (const Case& c : cases) EXPECT_EQ(glob_match(c.glob, c.path), c.matches) << c.glob << " " << c.path;
}

TEST(Ignore, GitRules) {
  const auto rules = IgnoreRules::parse(
      "# comment\n\n*.log\n!keep.log\n/build\ndocs/*.txt\nout/\n\\#odd\nspace\\ \ntrail   \r\n",
      IgnoreSyntax::kGit);
  const auto ignored = [&](std::string_view path, PathKind kind = PathKind::kFile) {
    return rules.verdict(path, kind) == Verdict::kIgnored;
  };
  EXPECT_TRUE(ignored("a.log"));
  EXPECT_TRUE(ignored("x/y/a.log"));
  EXPECT_EQ(rules.verdict("x/keep.log", PathKind::kFile), Verdict::kKept);
  EXPECT_TRUE(ignored("build"));
  EXPECT_FALSE(ignored("x/build"));
  EXPECT_TRUE(ignored("docs/a.txt"));
  EXPECT_FALSE(ignored("x/docs/a.txt"));
  EXPECT_FALSE(ignored("docs/x/a.txt"));
  EXPECT_TRUE(ignored("out", PathKind::kDirectory));
  EXPECT_FALSE(ignored("out", PathKind::kFile));
  EXPECT_TRUE(ignored("#odd"));
  EXPECT_TRUE(ignored("trail"));
  EXPECT_FALSE(ignored("# comment"));
}

TEST(Ignore, DockerRulesAreAnchoredAndBringFilesBack) {
  const auto rules =
      IgnoreRules::parse("*\n!src\n!/README.md\nsrc/secret.txt\n**/*.tmp\n", IgnoreSyntax::kDocker);
  const auto ignored = [&](std::string_view path) {
    return rules.verdict(path, PathKind::kFile) == Verdict::kIgnored;
  };
  EXPECT_TRUE(rules.has_exceptions());
  EXPECT_TRUE(ignored("a"));
  EXPECT_TRUE(ignored("a/b"));
  EXPECT_FALSE(ignored("src/main.go"));
  EXPECT_FALSE(ignored("README.md"));
  EXPECT_TRUE(ignored("src/secret.txt"));
  EXPECT_TRUE(ignored("src/x/y.tmp"));
}

TEST(Ignore, TooManyPatternsAreSaidNotSilentlyDropped) {
  std::string text;
  for (size_t i = 0; i < kMaxIgnorePatterns; ++i) text += "x\n";
  EXPECT_FALSE(IgnoreRules::parse(text, IgnoreSyntax::kGit).overflowed());
  EXPECT_TRUE(IgnoreRules::parse(text + "x\n", IgnoreSyntax::kGit).overflowed());
  EXPECT_TRUE(IgnoreRules::parse(std::string(kMaxPatternBytes + 1, 'x'), IgnoreSyntax::kGit).overflowed());
}

TEST(Select, ResolvesSymlinksLexically) {
  EXPECT_EQ(resolve_inside("a/b/link", "../c"), "a/c");
  EXPECT_EQ(resolve_inside("link", "x/../y"), "y");
  EXPECT_EQ(resolve_inside("a/link", "../../etc"), "");
  EXPECT_EQ(resolve_inside("link", ".."), "");
  EXPECT_EQ(resolve_inside("link", "/etc/passwd"), "");
  EXPECT_EQ(resolve_inside("link", ""), "");
}

class SelectTree : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (fs::temp_directory_path() / "skerry-select-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    root_ = path;
  }
  void TearDown() override { fs::remove_all(root_); }
  void put(const std::string& path, std::string_view text = "x") {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::vector<std::string> files(const SelectLimits& limits = {}) {
    auto selection = select_files(root_, limits);
    EXPECT_TRUE(selection) << (selection ? "" : selection.error().message());
    return selection ? selection->file_paths() : std::vector<std::string>{};
  }
  std::string refusal(const SelectLimits& limits = {}) {
    auto selection = select_files(root_, limits);
    return selection ? "" : selection.error().message();
  }
  using Names = std::vector<std::string>;
  fs::path root_;
};

TEST_F(SelectTree, LeavesOutWhatIsNeverUploadedAtAnyDepth) {
  for (const std::string path :
       {"main.py", ".git/config", "node_modules/x/i.js", "a/node_modules/x.js", ".venv/b", "venv/b",
        "__pycache__/c", "target/j.jar", ".skerry/link.json", ".env", ".env.local", "a/.env.production",
        "a/b.py", "environment", "a/target.txt"}) {
    put(path);
  }
  EXPECT_EQ(files(), (Names{"a/b.py", "a/target.txt", "environment", "main.py"}));
}

TEST_F(SelectTree, TheFirstIgnoreFileAloneCounts) {
  put("a.txt"), put("b.txt"), put("c.txt");
  put(".gitignore", "a.txt\n");
  EXPECT_EQ(files(), (Names{".gitignore", "b.txt", "c.txt"}));
  put(".dockerignore", "b.txt\n");
  EXPECT_EQ(files(), (Names{".dockerignore", ".gitignore", "a.txt", "c.txt"}));
  put(".skerryignore", "c.txt\n");
  EXPECT_EQ(files(), (Names{".dockerignore", ".gitignore", ".skerryignore", "a.txt", "b.txt"}));
}

TEST_F(SelectTree, NestedIgnoreFilesCountBelowTheirFolder) {
  put(".gitignore", "*.log\n");
  put("a/.gitignore", "!keep.log\nlocal\n");
  put("a/keep.log"), put("a/other.log"), put("a/local"), put("keep.log"), put("local");
  EXPECT_EQ(files(), (Names{".gitignore", "a/.gitignore", "a/keep.log", "local"}));
}

TEST_F(SelectTree, AFileBelowAnIgnoredFolderComesBackForDockerOnly) {
  put("out/a"), put("out/b");
  put(".dockerignore", "out\n!out/a\n");
  EXPECT_EQ(files(), (Names{".dockerignore", "out/a"}));
  fs::rename(root_ / ".dockerignore", root_ / ".gitignore");
  EXPECT_EQ(files(), (Names{".gitignore"}));
}

TEST_F(SelectTree, DistIsKeptWithoutABuildScript) {
  put(".gitignore", "dist/\n");
  put("dist/index.js");
  put("package.json", R"({"scripts":{"start":"node dist/index.js"}})");
  EXPECT_EQ(files(), (Names{".gitignore", "dist/index.js", "package.json"}));
  put("package.json", R"({"scripts":{"build":"tsc"}})");
  EXPECT_EQ(files(), (Names{".gitignore", "package.json"}));
}

TEST_F(SelectTree, SymlinksInsideStayAndOneThatLeadsOutIsRefusedByName) {
  put("a/x");
  fs::create_symlink("a/x", root_ / "good");
  fs::create_directory_symlink("a", root_ / "folder");
  fs::create_symlink("nowhere", root_ / "dangling");
  EXPECT_EQ(files(), (Names{"a/x", "dangling", "folder", "good"}));
  for (const std::string target : {"/etc/passwd", "../x", "a/../../x"}) {
    fs::create_symlink(target, root_ / "bad");
    EXPECT_NE(refusal().find("symlink `bad` leads out of the project"), std::string::npos)
        << target << ": " << refusal();
    fs::remove(root_ / "bad");
  }
  // Lexically inside, but it passes through another folder on disk.
  fs::create_directories(root_ / "deep/er");
  fs::create_directory_symlink("deep/er", root_ / "hop");
  fs::create_symlink("hop/../../../x", root_ / "sly");
  EXPECT_NE(refusal().find("symlink `sly`"), std::string::npos) << refusal();
  put(".skerryignore", "sly\n");
  EXPECT_EQ(refusal(), "");
}

TEST_F(SelectTree, LimitsHoldAtTheLimitAndOnePast) {
  put("a", std::string(600, 'x')), put("b", std::string(400, 'x'));
  EXPECT_EQ(files({.unpacked_bytes = 1000}).size(), 2U);
  const std::string bytes = refusal({.unpacked_bytes = 999});
  EXPECT_NE(bytes.find("the largest files: `a`"), std::string::npos) << bytes;
  EXPECT_EQ(files({.files = 2}).size(), 2U);
  EXPECT_NE(refusal({.files = 1}).find("more than 1 files"), std::string::npos);
}

TEST_F(SelectTree, SpecialFilesAreLeftOutWithAWarning) {
  put("a");
  ASSERT_EQ(mkfifo((root_ / "pipe").c_str(), 0600), 0);
  const auto selection = select_files(root_);
  ASSERT_TRUE(selection);
  EXPECT_EQ(selection->file_paths(), Names{"a"});
  ASSERT_EQ(selection->warnings.size(), 1U);
  EXPECT_NE(selection->warnings[0].find("`pipe`"), std::string::npos);
}

TEST_F(SelectTree, AFolderComesBeforeWhatIsInItAndModesAreKept) {
  put("a/b/c"), put("a-b");
  fs::permissions(root_ / "a-b", fs::perms::owner_all);
  const auto selection = select_files(root_);
  ASSERT_TRUE(selection);
  Names paths;
  for (const auto& e : selection->entries) paths.push_back(e.path);
  EXPECT_EQ(paths, (Names{"a", "a-b", "a/b", "a/b/c"}));
  EXPECT_TRUE(selection->entries[1].executable);
  EXPECT_FALSE(selection->entries[3].executable);
}

TEST_F(SelectTree, ANameThatIsNotUtf8IsRefused) {
  put("caf\xc3\xa9");
  EXPECT_EQ(files(), Names{"caf\xc3\xa9"});
  put("caf\xe9");
  EXPECT_NE(refusal().find("is not UTF-8"), std::string::npos);
}

TEST_F(SelectTree, AMissingFolderIsAnError) {
  EXPECT_NE(select_files(root_ / "no").error().message().find("is not a folder"), std::string::npos);
}

}  // namespace
}  // namespace skerry::manifest
