#include "keeper/scrubber.h"

#include <gtest/gtest.h>

#include <random>

namespace skerry::keeper {
namespace {

std::string scrub(const std::vector<SecretView>& secrets, std::string_view text, size_t piece) {
  const Patterns patterns(secrets);
  Scrubber scrubber(patterns);
  std::string out;
  while (!text.empty()) {
    scrubber.feed(text.substr(0, piece));
    text.remove_prefix(std::min(piece, text.size()));
    while (scrubber.has_ready()) scrubber.release(out, out.size() + 3);
  }
  scrubber.finish();
  while (scrubber.has_ready()) scrubber.release(out, out.size() + 3);
  return out;
}

void expect_at_every_cut(const std::vector<SecretView>& secrets, std::string_view text,
                         const std::string& wanted) {
  for (size_t piece = 1; piece <= text.size(); ++piece)
    ASSERT_EQ(scrub(secrets, text, piece), wanted) << "pieces of " << piece;
}

TEST(Scrubber, ReplacesEveryOccurrenceAtEveryCut) {
  expect_at_every_cut({{"DB", "hunter22"}, {"API", "sk-12345"}},
                      "a hunter22 b\nsk-12345sk-12345 hunter2 hunter22",
                      "a [secret DB] b\n[secret API][secret API] hunter2 [secret DB]");
}

TEST(Scrubber, ShortValuesStay) {
  expect_at_every_cut({{"A", "12345"}, {"B", "123456"}, {"C", ""}}, "12345 123456", "12345 [secret B]");
}

TEST(Scrubber, OverlappingValuesAreOneReplacement) {
  expect_at_every_cut({{"LEFT", "abcdef"}, {"RIGHT", "defghi"}}, "xabcdefghiy", "x[secret LEFT]y");
  expect_at_every_cut({{"LONG", "abcdefghij"}, {"SHORT", "cdefgh"}}, "abcdefghij cdefgh abcdefgh",
                      "[secret LONG] [secret SHORT] ab[secret SHORT]");
  expect_at_every_cut({{"A", "aaaaaa"}}, "aaaaaaaaaaaaa b aaaaa", "[secret A] b aaaaa");
  expect_at_every_cut({{"A", "abababab"}}, "abababababababx", "[secret A]x");
}

TEST(Scrubber, WhatOnlyBeginsLikeASecretComesOutAtTheEnd) {
  expect_at_every_cut({{"A", "abcdefgh"}}, "abcdefg", "abcdefg");
}

TEST(Scrubber, AValueOfSeveralLinesIsFoundWholeAndByItsLongLines) {
  const std::string key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nshort\n-----END KEY-----\n";
  expect_at_every_cut({{"KEY", key}}, "x\n" + key + "y", "x\n[secret KEY]\ny");
  expect_at_every_cut({{"KEY", key}}, "> MIIEvQIBADANBgkqhkiG9w0\n> short\n", "> [secret KEY]\n> short\n");
}

TEST(Scrubber, WhiteSpaceAroundAValueHoldsNothingBack) {
  const std::vector<SecretView> secrets = {{"A", "\nvalue-one\n"}};
  const Patterns patterns(secrets);
  Scrubber scrubber(patterns);
  scrubber.feed("a line\n");
  EXPECT_EQ(scrubber.held(), 0U);
  expect_at_every_cut(secrets, "value-one\n", "[secret A]\n");
}

TEST(Scrubber, HoldsBackLessThanTheLongestValue) {
  const std::string value(kMaxSecretValueBytes, 'x');
  const std::vector<SecretView> secrets = {{"A", value}};
  const Patterns patterns(secrets);
  Scrubber scrubber(patterns);
  std::string out;
  size_t fed = 0;
  for (; fed < value.size() * 3; fed += 1000) {
    scrubber.feed(std::string(1000, 'x'));
    EXPECT_LT(scrubber.held(), value.size());
    while (scrubber.has_ready()) scrubber.release(out, out.size() + 1000);
  }
  scrubber.finish();
  while (scrubber.has_ready()) scrubber.release(out, out.size() + 1000);
  EXPECT_EQ(out, "[secret A]");
}

TEST(Patterns, AreBoundedAndFreeOfDuplicates) {
  std::string lines;
  for (int i = 0; i < 400; ++i) lines += "a line that is long enough " + std::to_string(i) + "\n";
  ASSERT_LE(lines.size(), 2 * kMaxSecretValueBytes);
  const std::string a = lines.substr(0, kMaxSecretValueBytes), b = lines.substr(lines.size() - 4000);
  EXPECT_EQ(Patterns(std::vector<SecretView>{{"A", a}, {"B", b}}).size(), kMaxPatterns);
  EXPECT_EQ(Patterns(std::vector<SecretView>{{"NAME", "hunter22"}, {"BINDING", "hunter22"}}).size(), 1U);
}

// What the scrubber must do, the slow way: mark every byte of every occurrence, then write runs.
std::string naive(const std::vector<SecretView>& secrets, const std::string& text) {
  struct Span {
    size_t begin, end;
    std::string_view name;
  };
  std::vector<Span> spans;
  for (const SecretView& s : secrets) {
    for (size_t at = text.find(s.value); at != std::string::npos; at = text.find(s.value, at + 1))
      spans.push_back({at, at + s.value.size(), s.name});
  }
  std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  });
  std::string out;
  size_t done = 0;
  for (const Span& s : spans) {
    if (s.begin >= done) {
      out += text.substr(done, s.begin - done) + "[secret " + std::string(s.name) + "]";
      done = s.end;
    }
    done = std::max(done, s.end);
  }
  return out + text.substr(std::min(done, text.size()));
}

TEST(Scrubber, AgreesWithTheSlowWayOnRandomText) {
  std::mt19937 random(20231114);
  const auto word = [&](size_t length) {
    std::string out;
    for (size_t i = 0; i < length; ++i) out += static_cast<char>('a' + random() % 2);
    return out;
  };
  for (int round = 0; round < 400; ++round) {
    std::vector<std::string> values;
    while (values.size() < 3) {
      std::string value = word(6 + random() % 6);
      // Two values that begin at the same byte would leave the name to the longer one; both ways agree only
      // on which bytes are hidden.
      if (std::none_of(values.begin(), values.end(),
                       [&](const auto& v) { return v.starts_with(value) || value.starts_with(v); }))
        values.push_back(value);
    }
    const std::vector<SecretView> secrets = {{"A", values[0]}, {"B", values[1]}, {"C", values[2]}};
    const std::string text = word(300);
    ASSERT_EQ(scrub(secrets, text, 1 + random() % 40), naive(secrets, text))
        << values[0] << ' ' << values[1] << ' ' << values[2] << ' ' << text;
  }
}

}  // namespace
}  // namespace skerry::keeper
