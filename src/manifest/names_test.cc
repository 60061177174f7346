#include "manifest/names.h"

#include <gtest/gtest.h>

#include "manifest/units.h"

namespace skerry::manifest {
namespace {

TEST(FunctionName, RulesHoldAtTheirEdges) {
  for (const std::string_view good :
       {"a", "orders", "a1", "a-b-c", "x0123456789-0123456789-0123456789-012345"}) {
    EXPECT_TRUE(check_function_name(good)) << good;
  }
  for (const std::string_view bad : {"", "A", "1a", "-a", "a-", "a--b", "a_b", "a.b", "a b", "\xc3\xa9",
                                     "x0123456789-0123456789-0123456789-0123456"}) {
    EXPECT_FALSE(check_function_name(bad)) << bad;
  }
}

TEST(FunctionName, EveryProposalIsValid) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"Orders", "orders"},
      {"my_function", "my-function"},
      {"--x--y--", "x-y"},
      {"42", "fn-42"},
      {"", "function"},
      {"\xc3\xa9", "function"},
      {"the-orders-service-of-the-northern-region-in-europe", "the-orders-service-of-the-northern"},
      {"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyzabcdefghijklmn"},
      {"123456789012345678901234567890123456789012345", "fn-1234567890123456789012345678901234567"},
  };
  for (const auto& [raw, wanted] : cases) {
    const std::string proposal = propose_function_name(raw);
    EXPECT_EQ(proposal, wanted);
    EXPECT_TRUE(check_function_name(proposal)) << proposal;
  }
}

TEST(Utf8, RefusesWhatIsNotWellFormed) {
  for (const std::string_view good :
       {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const std::string_view bad : {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                                     "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xff", "a\xe2\x82"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
}

TEST(Nearest, FindsTypingMistakesAndNothingElse) {
  const std::string_view verbs[] = {"ship", "ls", "get", "invoke", "logs", "rollback", "revisions", "status"};
  EXPECT_EQ(nearest("shp", std::span(verbs)), "ship");
  EXPECT_EQ(nearest("sihp", std::span(verbs)), "ship");
  EXPECT_EQ(nearest("rollbck", std::span(verbs)), "rollback");
  EXPECT_EQ(nearest("log", std::span(verbs)), "logs");
  EXPECT_EQ(nearest("INVOKE", std::span(verbs)), "invoke");
  EXPECT_EQ(nearest("rev", std::span(verbs)), "revisions");
  EXPECT_FALSE(nearest("deploy", std::span(verbs)).has_value());
  EXPECT_FALSE(nearest("", std::span(verbs)).has_value());
  EXPECT_FALSE(nearest(std::string(100'000, 'a'), std::span(verbs)).has_value());
}

TEST(Units, SizesAreWholeMegabytes) {
  const std::pair<std::string_view, int64_t> good[] = {{"256MB", 256},   {"1GB", 1024}, {"1.5GB", 1536},
                                                       {" 64 MiB ", 64}, {"2Gi", 2048}, {"0MB", 0}};
  for (const auto& [text, mb] : good) EXPECT_EQ(parse_size_mb(text), mb) << text;
  for (const std::string_view bad : {"", "MB", "256", "-1MB", "1.5MB", "256KB", "1e3MB",
                                     "99999999999999999999GB", "256MB x", "nanMB", "infGB"})
    EXPECT_FALSE(parse_size_mb(bad)) << bad;
  EXPECT_EQ(format_size_mb(512), "512MB");
  EXPECT_EQ(format_size_mb(2048), "2GB");
}

TEST(Units, DurationsAreWholeMilliseconds) {
  const std::pair<std::string_view, int64_t> good[] = {
      {"30s", 30'000},   {"1m30s", 90'000},   {"500ms", 500},    {"0.5s", 500},
      {"2h", 7'200'000}, {"7d", 604'800'000}, {"5 min", 300'000}};
  for (const auto& [text, ms] : good) EXPECT_EQ(parse_duration_ms(text), ms) << text;
  for (const std::string_view bad : {"", "30", "s", "-1s", "1.5ms", "30x", "1m 30", "999999999999999d"})
    EXPECT_FALSE(parse_duration_ms(bad)) << bad;
  EXPECT_EQ(format_duration_ms(300'000), "5m");
  EXPECT_EQ(format_duration_ms(1500), "1500ms");
}

TEST(Units, CpuSharesAreThousandths) {
  EXPECT_EQ(parse_cpu_millis("0.5"), 500);
  EXPECT_EQ(parse_cpu_millis("2"), 2000);
  EXPECT_EQ(parse_cpu_millis("250m"), 250);
  for (const std::string_view bad : {"", "x", "1.0005", "-1", "1 core"})
    EXPECT_FALSE(parse_cpu_millis(bad)) << bad;
}

}  // namespace
}  // namespace skerry::manifest
