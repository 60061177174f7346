#include "manifest/settings.h"

#include <gtest/gtest.h>

namespace skerry::manifest {
namespace {

constexpr std::string_view kKnown[] = {"url", "token"};

TEST(Settings, ReadsKnownStrings) {
  const auto settings = parse_settings("url = \"https://a\"\n", "config.toml", kKnown);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->at("url"), "https://a");
  EXPECT_FALSE(settings->contains("token"));
}

TEST(Settings, RefusesTheRestWithALine) {
  EXPECT_EQ(parse_settings("\ntokn = \"x\"", "c", kKnown).error().message(),
            "c:2: unknown key `tokn`; did you mean `token`?");
  EXPECT_EQ(parse_settings("token = 7", "c", kKnown).error().message(),
            "c:1: `token` must be a string, not a number; write token = \"7\"");
  EXPECT_NE(parse_settings("token", "c", kKnown).error().message().find("c:1: "), std::string::npos);
}

}  // namespace
}  // namespace skerry::manifest
