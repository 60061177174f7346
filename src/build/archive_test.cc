#include "build/archive.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "os/file.h"

namespace skerry {
namespace {

constexpr ArchiveBounds kBounds{1 << 20, 100};

UniqueFd file_of(std::string_view bytes) {
  auto fd = make_sealed_memfd("test", bytes);
  EXPECT_TRUE(fd.has_value());
  return std::move(*fd);
}
bool nothing(std::string_view) { return false; }
bool everything(std::string_view) { return true; }

TEST(Archive, ATarOfOursIsReadBack) {
  TarText tar;
  ASSERT_TRUE(tar.add("a.txt", "alpha"));
  ASSERT_TRUE(tar.add("b/c.txt", std::string(1000, 'x'), true));
  const auto listing = list_archive(file_of(tar.finish()).get(), everything, kBounds);
  ASSERT_TRUE(listing) << listing.error().message();
  EXPECT_EQ(listing->files, (std::set<std::string>{"a.txt", "b/c.txt"}));
  EXPECT_EQ(listing->contents.at("a.txt"), "alpha");
  EXPECT_EQ(listing->contents.at("b/c.txt"), std::string(1000, 'x'));
  EXPECT_EQ(listing->bytes, 1005U);
}

TEST(Archive, ALongNameIsKeptWhole) {
  for (const size_t size : {99U, 100U, 101U, 300U, 1000U}) {
    const std::string name(size, 'n');
    TarText tar;
    ASSERT_TRUE(tar.add(name, "x"));
    const auto listing = list_archive(file_of(tar.finish()).get(), nothing, kBounds);
    ASSERT_TRUE(listing) << listing.error().message();
    EXPECT_TRUE(listing->files.contains(name)) << size;
  }
  TarText tar;
  EXPECT_FALSE(tar.add(std::string(5000, 'n'), "x"));
  EXPECT_FALSE(tar.add("", "x"));
}

TEST(Archive, ACommentChangesTheBytesAndNotTheFiles) {
  TarText tar;
  ASSERT_TRUE(tar.add("a", "1"));
  const std::string bytes = tar.finish();
  for (const char* comment : {"/app", "", "/usr/local/lib/python3.11/dist-packages"}) {
    const auto listing = list_archive(file_of(tar_comment(comment) + bytes).get(), everything, kBounds);
    ASSERT_TRUE(listing) << listing.error().message();
    EXPECT_EQ(listing->files, (std::set<std::string>{"a"}));
    EXPECT_EQ(listing->contents.at("a"), "1");
  }
  EXPECT_NE(tar_comment("/app"), tar_comment("/out"));
}

TEST(Archive, BoundsAreHeldAtTheBoundAndOnePastIt) {
  TarText tar;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(tar.add(std::to_string(i), std::string(10, 'x')));
  const UniqueFd fd = file_of(tar.finish());
  EXPECT_TRUE(list_archive(fd.get(), nothing, {30, 3}));
  const auto bytes = list_archive(fd.get(), nothing, {29, 3});
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code(), ErrorCode::kTooLarge);
  const auto files = list_archive(fd.get(), nothing, {30, 2});
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code(), ErrorCode::kTooLarge);
}

TEST(Archive, AManifestThatIsTooLargeIsNamed) {
  TarText tar;
  ASSERT_TRUE(tar.add("package.json", std::string(kMaxManifestBytes + 1, ' ')));
  const auto listing = list_archive(file_of(tar.finish()).get(), everything, {64 << 20, 10});
  ASSERT_FALSE(listing);
  EXPECT_EQ(listing.error().code(), ErrorCode::kTooLarge);
  EXPECT_NE(listing.error().message().find("package.json"), std::string::npos);
}

TEST(Archive, WhatIsNoTarIsRefused) {
  for (const std::string& bytes : {std::string("not a tar at all"), std::string(5000, '\xff')}) {
    const auto listing = list_archive(file_of(bytes).get(), nothing, kBounds);
    EXPECT_FALSE(listing && !listing->files.empty());
  }
  TarText tar;
  ASSERT_TRUE(tar.add("a", std::string(4000, 'x')));
  const auto cut = list_archive(file_of(tar.finish().substr(0, 2000)).get(), everything, kBounds);
  EXPECT_FALSE(cut);
}

TEST(Archive, AFolderIsPackedInTheOrderOfNamesWithoutLinks) {
  char path[] = "/tmp/skerry_archive_XXXXXX";
  ASSERT_NE(::mkdtemp(path), nullptr);
  const std::string folder = path;
  std::filesystem::create_directories(folder + "/b/tests");
  std::ofstream(folder + "/z") << "1";
  std::ofstream(folder + "/b/a.sh") << "22";
  std::ofstream(folder + "/b/tests/t") << "333";
  std::filesystem::permissions(folder + "/b/a.sh", std::filesystem::perms::owner_all);
  std::filesystem::create_symlink("/etc/passwd", folder + "/link");
  const auto files = list_folder(folder, {"tests"}, kBounds);
  ASSERT_TRUE(files) << files.error().message();
  ASSERT_EQ(files->size(), 2U);
  EXPECT_EQ((*files)[0].path, "b/a.sh");
  EXPECT_TRUE((*files)[0].executable);
  EXPECT_EQ((*files)[1].path, "z");
  EXPECT_FALSE(list_folder(folder, {}, {1 << 20, 2}));
  TarText first, second;
  ASSERT_TRUE(first.add_folder(folder, {"tests"}, "in/"));
  ASSERT_TRUE(second.add_folder(folder, {"tests"}, "in/"));
  const std::string bytes = first.finish();
  EXPECT_EQ(bytes, second.finish());
  EXPECT_EQ(list_archive(file_of(bytes).get(), nothing, kBounds)->files, (std::set<std::string>{"in/b/a.sh", "in/z"}));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace skerry
