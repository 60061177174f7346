#include "unpack/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "contract/sandbox_messages.h"
#include "crypto/hash.h"
#include "os/file.h"
#include "os/process.h"
#include "unpack/archive_reader.h"
#include "unpack/tar_builder.h"

namespace skerry::unpack {
namespace {

class UnpackTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "unpacking sets owners: needs root, as in its user namespace";
    ASSERT_TRUE(prepare_conversions());
    char pattern[] = "/tmp/skerry_unpack_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    base_ = pattern;
    fresh();
  }
  void TearDown() override {
    if (!base_.empty()) std::filesystem::remove_all(base_);
  }

  void fresh() {
    root_ = base_ + "/" + std::to_string(++targets_);
    ASSERT_EQ(::mkdir(root_.c_str(), 0700), 0);
    root_fd_.reset(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(root_fd_.valid());
  }

  static Options options_for(const std::string& archive) {
    return {.digest = Digest::of_bytes(sha256(archive)),
            .max_bytes = 1 << 20,
            .max_files = 100,
            .owner = Owner::kFunction};
  }
  Result<Unpacked> run(const std::string& archive, const Options& options) {
    auto fd = make_sealed_memfd("archive", archive);
    return unpack(fd->get(), root_fd_.get(), options);
  }
  Result<Unpacked> run(const std::string& archive) { return run(archive, options_for(archive)); }

  // Unpacks into a new target; gives the error's text, "" when it was taken.
  std::string refusal(const TarBuilder& tar) {
    fresh();
    auto done = run(tar.finish());
    return done ? "" : done.error().message();
  }

  [[nodiscard]] std::string content(const std::string& path) const {
    auto bytes = read_file(root_ + "/" + path, 1 << 20);
    return bytes ? *bytes : "<" + bytes.error().message() + ">";
  }
  [[nodiscard]] struct stat status(const std::string& path) const {
    struct stat st{};
    EXPECT_EQ(::lstat((root_ + "/" + path).c_str(), &st), 0) << path;
    return st;
  }

  std::string base_, root_;
  UniqueFd root_fd_;
  int targets_ = 0;
};

bool says(const std::string& message, std::string_view what) {
  return message.find(what) != std::string::npos;
}

TEST_F(UnpackTest, FilesFoldersAndLinksComeOutAsWritten) {
  TarBuilder tar;
  tar.directory("./", 0755)
      .directory("bin/", 01777)
      .file("bin/run", "#!/bin/sh\n", 0755)
      .symlink("bin/sh", "/bin/busybox");
  tar.hardlink("bin/again", "bin/run").file("deep/er/file", "x");
  auto done = run(tar.finish());
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(done->bytes, 11U);
  EXPECT_EQ(done->files, 7U);  // bin, run, sh, again, deep, deep/er, file
  EXPECT_EQ(content("bin/run"), "#!/bin/sh\n");
  EXPECT_EQ(status("bin/run").st_mode, S_IFREG | 0755U);
  EXPECT_EQ(status("bin/run").st_mtim.tv_sec, 1'700'000'000);
  EXPECT_EQ(status("bin/run").st_uid, 1000U);
  EXPECT_EQ(status("bin").st_mode, S_IFDIR | 01777U);
  EXPECT_EQ(status("bin").st_mtim.tv_sec, 1'700'000'000);  // although entries were made in it later
  EXPECT_EQ(status("bin/again").st_ino, status("bin/run").st_ino);
  EXPECT_EQ(std::filesystem::read_symlink(root_ + "/bin/sh"), "/bin/busybox");
  EXPECT_EQ(status("deep/er").st_mode, S_IFDIR | 0755U);
  EXPECT_EQ(status(".").st_mode, S_IFDIR | 0755U);  // mkdtemp's 0700 would shut the container's user out
}

TEST_F(UnpackTest, KeptOwnersOutsideOfTheNamespaceBecomeNobody) {
  TarBuilder tar;
  tar.add({.name = "a", .uid = 33, .gid = 65535}).add({.name = "b", .uid = 65536, .gid = 2'000'000});
  const std::string bytes = tar.finish();
  Options options = options_for(bytes);
  options.owner = Owner::kKeep;
  ASSERT_TRUE(run(bytes, options));
  EXPECT_EQ(status("a").st_uid, 33U);
  EXPECT_EQ(status("a").st_gid, 65535U);
  EXPECT_EQ(status("b").st_uid, kNobody);
  EXPECT_EQ(status("b").st_gid, kNobody);
}

TEST_F(UnpackTest, SubfolderIsMadeAndHoldsEverything) {
  const std::string bytes = TarBuilder().file("main.py", "pass").finish();
  Options options = options_for(bytes);
  options.subfolder = "/srv/app";
  auto done = run(bytes, options);
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(content("srv/app/main.py"), "pass");
  EXPECT_EQ(status("srv/app").st_uid, 1000U);
  EXPECT_EQ(status("srv").st_uid, 0U);
  EXPECT_EQ(done->files, 3U);
  for (const char* const bad : {"app", "/../x", "/a/../../b"}) {
    fresh();
    options.subfolder = bad;
    EXPECT_EQ(run(bytes, options).error().code(), ErrorCode::kInvalidArgument) << bad;
  }
}

TEST_F(UnpackTest, NamesThatLeaveAreRefused) {
  for (const char* const name : {"../x", "a/../../x", "a/..", "..", "./../x", "a/../b"}) {
    EXPECT_TRUE(says(refusal(TarBuilder().file(name, "x")), "`..` in the path")) << name;
  }
  EXPECT_TRUE(says(refusal(TarBuilder().file("/etc/passwd", "x")), "entry `/etc/passwd`: an absolute path"));
  EXPECT_TRUE(says(refusal(TarBuilder().symlink("..", "x")), "`..`"));
  EXPECT_TRUE(says(refusal(TarBuilder().directory("../../d")), "`..`"));
  EXPECT_FALSE(std::filesystem::exists(base_ + "/x"));
}

TEST_F(UnpackTest, NothingIsWrittenThroughAnUnpackedLink) {
  const std::string outside = base_ + "/outside";
  ASSERT_EQ(::mkdir(outside.c_str(), 0755), 0);
  EXPECT_TRUE(says(refusal(TarBuilder().symlink("d", outside).file("d/f", "x")), "through a symbolic link"));
  EXPECT_TRUE(says(refusal(TarBuilder().symlink("d", outside).directory("d/e")), "through a symbolic link"));
  EXPECT_TRUE(says(refusal(TarBuilder().symlink("d", "..").symlink("d/l", "x")), "through a symbolic link"));
  EXPECT_TRUE(says(refusal(TarBuilder().directory("in").symlink("d", "in").file("d/f", "x")),
                   "through a symbolic link"));
  EXPECT_TRUE(
      says(refusal(TarBuilder().symlink("f", outside + "/f").file("f", "x")), "has this path already"));
  EXPECT_TRUE(says(refusal(TarBuilder().file("a/b/c", "x").symlink("a/b", "/etc")), "has this path already"));
  EXPECT_TRUE(std::filesystem::is_empty(outside));
}

TEST_F(UnpackTest, APathIsNotTwoThings) {
  EXPECT_TRUE(says(refusal(TarBuilder().file("a", "1").file("a", "2")), "has this path already"));
  EXPECT_TRUE(says(refusal(TarBuilder().file("a", "1").file("./a", "2")), "has this path already"));
  EXPECT_TRUE(says(refusal(TarBuilder().directory("a").file("a", "2")), "has this path already"));
  EXPECT_TRUE(says(refusal(TarBuilder().file("a", "1").directory("a")), "a file or link already"));
  EXPECT_TRUE(says(refusal(TarBuilder().symlink("a", "/etc").directory("a")), "a file or link already"));
  EXPECT_TRUE(says(refusal(TarBuilder().file("a", "1").file("a/b", "2")), "no directory"));
  EXPECT_TRUE(says(refusal(TarBuilder().file(".", "1")), "top of the tree"));
  EXPECT_EQ(refusal(TarBuilder().directory("a", 0700).file("a/b", "").directory("a", 0711)), "");
  EXPECT_EQ(status("a").st_mode & 07777, 0711U);  // the last mention of a folder
}

TEST_F(UnpackTest, HardLinksReachOnlyFilesUnpackedBefore) {
  EXPECT_TRUE(says(refusal(TarBuilder().hardlink("a", "/etc/passwd")), "hard link target: an absolute path"));
  EXPECT_TRUE(says(refusal(TarBuilder().hardlink("a", "../1/x")), "hard link target: a `..`"));
  EXPECT_TRUE(says(refusal(TarBuilder().hardlink("a", "later").file("later", "x")), "not unpacked before"));
  EXPECT_TRUE(says(refusal(TarBuilder().symlink("s", "/etc/passwd").hardlink("a", "s")), "no regular file"));
  EXPECT_TRUE(
      says(refusal(TarBuilder().symlink("s", "/etc").hardlink("a", "s/passwd")), "not unpacked before"));
  EXPECT_TRUE(says(refusal(TarBuilder().directory("d").hardlink("a", "d")), "no regular file"));
  EXPECT_TRUE(says(refusal(TarBuilder().file("a", "x").hardlink("a", "a")), "has this path already"));
}

TEST_F(UnpackTest, OnlyFilesFoldersAndLinksExist) {
  EXPECT_TRUE(says(refusal(TarBuilder().add({.name = "dev/mem", .type = '3'})),
                   "entry `dev/mem`: it is a character device"));
  EXPECT_TRUE(says(refusal(TarBuilder().add({.name = "sda", .type = '4'})), "a block device"));
  EXPECT_TRUE(says(refusal(TarBuilder().add({.name = "p", .type = '6'})), "a pipe"));
}

TEST_F(UnpackTest, SetIdBitsAttributesAndListsAreRefused) {
  EXPECT_TRUE(says(refusal(TarBuilder().file("su", "x", 04755)), "entry `su`: a set-uid"));
  EXPECT_TRUE(says(refusal(TarBuilder().file("wall", "x", 02755)), "set-gid"));
  EXPECT_TRUE(says(refusal(TarBuilder().directory("d", 02775)), "set-gid"));
  const auto with = [](std::string_view key, std::string_view value) {
    return TarBuilder().pax(key, value).file("f", "x");
  };
  EXPECT_TRUE(says(refusal(with("SCHILY.xattr.security.capability", "x")),
                   "extended attribute `security.capability`"));
  EXPECT_TRUE(says(refusal(with("SCHILY.xattr.trusted.overlay.opaque", "y")), "trusted.overlay.opaque"));
  EXPECT_TRUE(says(refusal(with("SCHILY.xattr.user.overlay.redirect", "/etc")), "user.overlay.redirect"));
  EXPECT_TRUE(
      says(refusal(with("SCHILY.acl.access", "user::rwx,user:root:rwx,group::r-x,mask::rwx,other::r-x")),
           "access control list"));
  EXPECT_EQ(refusal(with("SCHILY.xattr.com.apple.provenance", "x")), "");
}

TEST_F(UnpackTest, NameBoundsHoldAtTheLimitAndOnePast) {
  const auto named = [](const std::string& path) { return TarBuilder().pax("path", path).file("f", "x"); };
  const auto nested = [](size_t depth) {
    std::string path = "f";
    for (size_t i = 1; i < depth; ++i) path = "d/" + path;
    return path;
  };
  EXPECT_EQ(refusal(named(std::string(kMaxNameBytes, 'n'))), "");
  EXPECT_TRUE(says(refusal(named(std::string(kMaxNameBytes + 1, 'n'))), "a name longer than"));
  EXPECT_EQ(refusal(named(nested(kMaxPathDepth))), "");
  EXPECT_TRUE(says(refusal(named(nested(kMaxPathDepth + 1))), "folders deep"));
  std::string path = std::string(200, 'a') + "/" + std::string(200, 'b') + "/" + std::string(200, 'c') + "/" +
                     std::string(200, 'd') + "/";
  path += std::string(kMaxPathBytes - path.size(), 'e');
  EXPECT_EQ(refusal(named(path)), "");
  EXPECT_TRUE(says(refusal(named(path + "e")), "a path longer than"));
}

TEST_F(UnpackTest, NamesOutsideOfAsciiStayThemselvesAndCannotForgeALogLine) {
  EXPECT_EQ(refusal(TarBuilder().pax("path", "caf\xc3\xa9/\xe6\xb5\xb7").file("f", "x")), "");
  EXPECT_EQ(content("caf\xc3\xa9/\xe6\xb5\xb7"), "x");
  EXPECT_EQ(refusal(TarBuilder().file("\xff\xfe", "x").file("\xff\xfd", "y")),
            "");  // bytes, as Linux names are
  EXPECT_EQ(content("\xff\xfe"), "x");
  EXPECT_TRUE(says(refusal(TarBuilder().file("a\n\"b", "x", 04755)), R"(entry `a\n\"b`)"));
}

TEST_F(UnpackTest, SizesAndCountsHoldAtTheLimitAndOnePast) {
  const std::string bytes =
      TarBuilder().file("a", std::string(600, 'a')).file("b", std::string(400, 'b')).finish();
  Options options = options_for(bytes);
  options.max_bytes = 1000;
  options.max_files = 2;
  EXPECT_TRUE(run(bytes, options));
  fresh();
  options.max_bytes = 999;
  EXPECT_EQ(run(bytes, options).error().code(), ErrorCode::kTooLarge);
  fresh();
  options.max_bytes = 1000;
  options.max_files = 1;
  const auto refused = run(bytes, options);
  EXPECT_EQ(refused.error().code(), ErrorCode::kTooLarge);
  EXPECT_EQ(refused.error().message(), "entry `b`: more than 1 files");
  fresh();
  options.max_files = 2;
  options.subfolder = "/app";
  EXPECT_TRUE(run(bytes, options));
}

TEST_F(UnpackTest, FoldersImpliedByAPathCountToo) {
  const std::string bytes = TarBuilder().file("a/b/c/d", "").finish();
  Options options = options_for(bytes);
  options.max_files = 3;
  EXPECT_EQ(run(bytes, options).error().code(), ErrorCode::kTooLarge);
}

TEST_F(UnpackTest, MentioningAFolderForEverIsBounded) {
  TarBuilder tar;
  for (int i = 0; i < 10; ++i) tar.directory("d");
  const std::string bytes = tar.finish();
  Options options = options_for(bytes);
  options.max_files = 4;
  EXPECT_EQ(run(bytes, options).error().code(), ErrorCode::kTooLarge);
}

TEST_F(UnpackTest, AHoleCountsAsWhatItPretendsToBe) {
  // GNU sparse 0.1: all records in one pax header.
  const auto record = [](const std::string& body) {
    size_t length = body.size() + 2;
    while (std::to_string(length).size() + 1 + body.size() != length) ++length;
    return std::to_string(length) + " " + body;
  };
  const auto tar_of = [&](const std::string& size) {
    const std::string header = record("GNU.sparse.size=" + size + "\n") + record("GNU.sparse.numblocks=1\n") +
                               record("GNU.sparse.map=4096,4\n") + record("GNU.sparse.name=hole\n");
    return TarBuilder()
        .add({.name = "PaxHeader", .type = 'x', .content = header})
        .file("GNUSparseFile.1/hole", "data");
  };
  EXPECT_EQ(refusal(tar_of("8192")), "");
  EXPECT_EQ(status("hole").st_size, 8192);
  EXPECT_EQ(content("hole").substr(4096, 5), std::string("data\0", 5));
  EXPECT_TRUE(says(refusal(tar_of("1099511627776")), "bytes in all"));
  EXPECT_NE(refusal(tar_of("4098")), "");  // the map points past the size
}

std::string compressed(const std::string& tar, int (*filter)(archive*)) {
  std::string out(tar.size() * 2 + 4096, '\0');
  size_t used = 0;
  archive* const a = ::archive_write_new();
  ::archive_write_set_format_raw(a);
  filter(a);
  EXPECT_EQ(::archive_write_open_memory(a, out.data(), out.size(), &used), ARCHIVE_OK);
  archive_entry* const e = ::archive_entry_new();
  ::archive_entry_set_filetype(e, AE_IFREG);
  ::archive_write_header(a, e);
  EXPECT_EQ(::archive_write_data(a, tar.data(), tar.size()), static_cast<la_ssize_t>(tar.size()));
  ::archive_entry_free(e);
  ::archive_write_close(a);
  ::archive_write_free(a);
  out.resize(used);
  return out;
}

TEST_F(UnpackTest, GzipAndZstdAreReadOthersAreNot) {
  const std::string tar = TarBuilder().file("a", "content").finish();
  for (auto* const filter : {&::archive_write_add_filter_gzip, &::archive_write_add_filter_zstd}) {
    fresh();
    auto done = run(compressed(tar, filter));
    ASSERT_TRUE(done) << done.error().message();
    EXPECT_EQ(content("a"), "content");
  }
  fresh();
  EXPECT_EQ(run(compressed(tar, &::archive_write_add_filter_xz)).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(UnpackTest, ASmallArchiveThatInflatesWithoutEndIsStopped) {
  // pax allows a hard link a body: nothing is made of it, it is only inflated.
  TarBuilder body;
  body.file("a", "x")
      .pax("comment", "pax")
      .add({.name = "b", .type = '1', .content = std::string(8 << 20, '\0'), .link = "a"});
  const std::string tar = body.file("c", "x").finish();
  const std::string bomb = compressed(tar, &::archive_write_add_filter_gzip);
  ASSERT_LT(bomb.size(), 64U * 1024);
  Options options = options_for(bomb);
  options.max_bytes = 1 << 20;
  const auto refused = run(bomb, options);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(says(refused.error().message(), "inflates to more than")) << refused.error().message();
}

TEST_F(UnpackTest, TheDigestCoversEveryByteAlsoBehindTheEnd) {
  const std::string tar = TarBuilder().file("a", "x").finish();
  const std::string longer = tar + std::string(10240, '\0') + "tail";
  EXPECT_TRUE(run(longer));
  fresh();
  const auto refused = run(longer, options_for(tar));
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(says(refused.error().message(), "digest"));
}

TEST_F(UnpackTest, EveryTruncationIsAnErrorOrTheWholeTree) {
  const std::string tar =
      TarBuilder().directory("d").file("d/a", std::string(700, 'x')).symlink("l", "d").finish();
  const size_t complete = tar.size() - 1024;
  for (size_t n = 0; n < complete; n += 97) {
    fresh();
    auto done = run(tar.substr(0, n));
    // Between two entries the end cannot be told from a tar without an end mark; inside of one it can.
    if (done) EXPECT_EQ(n % 512, 0U) << n;
  }
  fresh();
  EXPECT_EQ(run("").error().code(), ErrorCode::kInvalidArgument);
  fresh();
  EXPECT_EQ(run(std::string(4096, 'x')).error().code(), ErrorCode::kInvalidArgument);
  fresh();
  EXPECT_EQ(run(TarBuilder().finish())->files, 0U);  // an empty layer is a layer
}

TEST_F(UnpackTest, ATargetThatIsNotEmptyIsLeftAlone) {
  ASSERT_EQ(::mkdir((root_ + "/old").c_str(), 0700), 0);
  EXPECT_EQ(run(TarBuilder().file("old/a", "x").finish()).error().code(), ErrorCode::kConflict);
  EXPECT_TRUE(std::filesystem::is_empty(root_ + "/old"));
}

// ---- the program: same rules under its own limits and filter, from a pipe

class UnpackProgramTest : public UnpackTest {
 protected:
  struct Outcome {
    int status = -1;
    sandbox::LayerDone answer;
  };
  Outcome program(const std::string& archive, std::vector<std::string> arguments = {}) {
    const std::string self = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "skerry-unpack";
    auto input = make_sealed_memfd("archive", archive);
    auto result = make_pipe();
    if (arguments.empty())
      arguments = {"--digest",    Digest::of_bytes(sha256(archive)).str(),
                   "--max-bytes", "1048576",
                   "--max-files", "100"};
    SpawnOptions options;
    options.argv = {self};
    options.env = {
        "ASAN_OPTIONS=detect_leaks=0"};  // the leak checker traces its own process, which the filter forbids
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.fds = {{input->get(), 3}, {root_fd_.get(), 4}, {result->write.get(), 5}, {2, 2}};
    Outcome outcome;
    auto child = spawn(options);
    EXPECT_TRUE(child) << child.error().message();
    if (!child) return outcome;
    result->write.reset();
    const auto bytes = read_all(result->read.get(), kMaxMessageBytes);
    EXPECT_EQ(::waitpid(child->pid, &outcome.status, 0), child->pid);
    if (auto answer = sandbox::decode_layer_done(*bytes); answer) outcome.answer = *answer;
    return outcome;
  }
  static constexpr size_t kMaxMessageBytes = 65536;
};

TEST_F(UnpackProgramTest, UnpacksUnderItsFilterAndAnswers) {
  TarBuilder tar;
  tar.directory("d")
      .file("d/a", std::string(200'000, 'x'))
      .symlink("l", "d/a")
      .hardlink("h", "d/a")
      .pax("path", "caf\xc3\xa9")
      .file("f", "y");
  for (auto* const filter : {&::archive_write_add_filter_none, &::archive_write_add_filter_gzip,
                             &::archive_write_add_filter_zstd}) {
    fresh();
    const Outcome outcome = program(compressed(tar.finish(), filter));
    EXPECT_EQ(outcome.status, 0) << outcome.answer.message;
    EXPECT_TRUE(outcome.answer.ok);
    EXPECT_EQ(outcome.answer.bytes, 200'001U);
    EXPECT_EQ(outcome.answer.files, 5U);
    EXPECT_EQ(content("caf\xc3\xa9"), "y");
  }
}

TEST_F(UnpackProgramTest, SaysWhichEntryWasRefused) {
  const Outcome outcome = program(TarBuilder().file("../../etc/cron.d/x", "x").finish());
  EXPECT_TRUE(WIFEXITED(outcome.status));
  EXPECT_EQ(WEXITSTATUS(outcome.status), 1);
  EXPECT_FALSE(outcome.answer.ok);
  EXPECT_EQ(outcome.answer.code, static_cast<uint8_t>(ErrorCode::kInvalidArgument));
  EXPECT_EQ(outcome.answer.message, "entry `../../etc/cron.d/x`: a `..` in the path");
}

TEST_F(UnpackProgramTest, WrongArgumentsAreRefusedBeforeAnythingIsRead) {
  const std::string digest = "sha256:" + std::string(64, 'a');
  for (const std::vector<std::string>& bad : std::vector<std::vector<std::string>>{
           {"--digest"},
           {"--digest", "x", "--max-bytes", "1", "--max-files", "1"},
           {"--digest", digest, "--max-bytes", "-1", "--max-files", "1"},
           {"--digest", digest, "--max-bytes", "1"},
           {"--digest", digest, "--max-bytes", "1", "--max-files", "1", "--owner", "root"}}) {
    const Outcome outcome = program("", bad);
    EXPECT_TRUE(WIFEXITED(outcome.status));
    EXPECT_EQ(WEXITSTATUS(outcome.status), 2);
  }
}

}  // namespace
}  // namespace skerry::unpack
