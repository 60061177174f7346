#include "build/revision_file.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

ArchiveListing result(const std::string& recorded) {
  ArchiveListing listing;
  listing.files = {std::string(kRevisionFilePath), "index.js"};
  listing.contents[std::string(kRevisionFilePath)] = recorded;
  listing.bytes = 42;
  return listing;
}

TEST(RevisionFile, IsReadAndKeptAsOneLine) {
  const auto file = RevisionFile::of_result(result(R"({"entry":"index.js","shape":"fetch","argv":["node","a b"],"env":["A=1=2","B="]})"));
  ASSERT_TRUE(file) << file.error().message();
  const auto again = RevisionFile::parse(file->text());
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(file->text().find('\n'), std::string::npos);
  EXPECT_EQ(again->shape, "fetch");
  EXPECT_EQ(again->entry, "index.js");
  EXPECT_EQ(again->argv, (std::vector<std::string>{"node", "a b"}));
  EXPECT_EQ(again->env, (std::vector<std::string>{"A=1=2", "B="}));
  EXPECT_EQ(again->size_bytes, 42U);
  EXPECT_FALSE(again->has_modules);
}

TEST(RevisionFile, NoticesModulesOfItsOwn) {
  ArchiveListing listing = result(R"({"entry":"x","shape":"handle","argv":["node"]})");
  listing.files.insert("node_modules_not/x");
  EXPECT_FALSE(RevisionFile::of_result(listing)->has_modules);
  listing.files.insert("node_modules/a/index.js");
  EXPECT_TRUE(RevisionFile::of_result(listing)->has_modules);
}

TEST(RevisionFile, WhatATenantMayHaveWrittenIsRefusedByName) {
  for (const char* text : {"", "{", "[]", R"({"argv":"node"})", R"({"argv":[1]})", R"({"env":["NOEQUALS"]})", R"({"env":["=x"]})", R"({"env":["A=\u0000"]})", R"({"argv":["a\u0000b"]})",
                           R"({"shape":"ssssssssssssssssssssssssssssssssssssssssssssssss"})", R"({"unknown":1})"})
    EXPECT_FALSE(RevisionFile::of_result(result(text))) << text;
  ArchiveListing none;
  const auto absent = RevisionFile::of_result(none);
  ASSERT_FALSE(absent);
  EXPECT_NE(absent.error().message().find(".skerry/revision.json"), std::string::npos);
}

}  // namespace
}  // namespace skerry
