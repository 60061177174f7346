#include "resolver/message.h"

#include <gtest/gtest.h>

namespace skerry::dns {
namespace {

std::string u16(int value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value & 255)};
}

std::string name_of(std::string_view dotted) {
  std::string out;
  while (!dotted.empty()) {
    const std::string_view label = dotted.substr(0, dotted.find('.'));
    out += static_cast<char>(label.size());
    out.append(label);
    dotted.remove_prefix(std::min(label.size() + 1, dotted.size()));
  }
  return out + '\0';
}

struct Made {
  int id = 0x1234, flags = 0x0100, questions = 1, answers = 0, authorities = 0, additional = 0, type = kTypeA,
      klass = 1;
  std::string name = name_of("www.example.org");
  std::string rest{};
  [[nodiscard]] std::string bytes() const {
    return u16(id) + u16(flags) + u16(questions) + u16(answers) + u16(authorities) + u16(additional) + name +
           u16(type) + u16(klass) + rest;
  }
};
std::string opt(int udp_bytes, const std::string& options = {}) {
  return std::string(1, '\0') + u16(41) + u16(udp_bytes) + u16(0) + u16(0) +
         u16(static_cast<int>(options.size())) + options;
}

std::optional<Code> refusal(const Made& made) {
  const Asked asked = read_question(made.bytes());
  EXPECT_FALSE(asked.question && asked.refusal);
  return asked.refusal;
}

TEST(Question, IsReadWithItsNameInLowerCase) {
  Made made;
  made.name = name_of("WwW.Example.ORG");
  const Asked asked = read_question(made.bytes());
  ASSERT_TRUE(asked.question);
  EXPECT_EQ(asked.question->id, 0x1234);
  EXPECT_EQ(asked.question->name, "www.example.org");
  EXPECT_EQ(asked.question->end, made.bytes().size());
  EXPECT_EQ(asked.question->udp_bytes, 512U);
  made.name = name_of("");
  EXPECT_EQ(read_question(made.bytes()).question->name, "");
}

TEST(Question, ADotInsideALabelIsNoSeparator) {
  Made made;
  made.name = std::string("\x0ex.skerry.local", 15) + name_of("host");
  EXPECT_EQ(read_question(made.bytes()).question->name, "x\\046skerry\\046local.host");
}

TEST(Question, SizeOverUdpIsTheAskersWithinBounds) {
  for (const auto& [said, taken] : {std::pair{100, 512},
                                    {512, 512},
                                    {513, 513},
                                    {1232, 1232},
                                    {4096, 4096},
                                    {4097, 4096},
                                    {65535, 4096}}) {
    Made made{.additional = 1, .rest = opt(said)};
    ASSERT_TRUE(read_question(made.bytes()).question) << said;
    EXPECT_EQ(read_question(made.bytes()).question->udp_bytes, static_cast<size_t>(taken)) << said;
  }
}

TEST(Question, ShorterThanAHeaderOrAnAnswerIsNotAnsweredAtAll) {
  const Made answer{.flags = 0x8180};
  for (const std::string& bytes : {std::string(), Made().bytes().substr(0, 11), answer.bytes()}) {
    const Asked asked = read_question(bytes);
    EXPECT_FALSE(asked.question || asked.refusal) << bytes.size();
  }
  EXPECT_EQ(read_question(Made().bytes().substr(0, 12)).refusal, Code::kFormatError);
}

TEST(Question, UpdatesTransfersAndOtherClassesAreRefused) {
  EXPECT_EQ(refusal({.flags = 5 << 11}), Code::kRefused);
  EXPECT_EQ(refusal({.flags = 1 << 11}), Code::kNotImplemented);
  EXPECT_EQ(refusal({.flags = 4 << 11}), Code::kNotImplemented);
  for (const int type : {0, 41, 249, 250, 251, 252, 253, 254})
    EXPECT_EQ(refusal({.type = type}), Code::kRefused) << type;
  for (const int type : {1, 28, 65, 248, 255, 256}) EXPECT_FALSE(refusal({.type = type})) << type;
  for (const int klass : {0, 3, 254, 255}) EXPECT_EQ(refusal({.klass = klass}), Code::kRefused) << klass;
}

TEST(Question, AnythingButOneQuestionAndOneOptIsAFormatError) {
  EXPECT_EQ(refusal({.questions = 0}), Code::kFormatError);
  EXPECT_EQ(refusal({.questions = 2, .rest = Made().bytes().substr(12)}), Code::kFormatError);
  EXPECT_EQ(refusal({.answers = 1}), Code::kFormatError);
  EXPECT_EQ(refusal({.authorities = 1}), Code::kFormatError);
  EXPECT_EQ(refusal({.additional = 1}), Code::kFormatError);  // said and not there
  EXPECT_EQ(refusal({.additional = 2, .rest = opt(512) + opt(512)}), Code::kFormatError);
  EXPECT_EQ(refusal({.rest = opt(512)}), Code::kFormatError);  // there and not said
  EXPECT_EQ(refusal({.additional = 1, .rest = opt(512) + "x"}), Code::kFormatError);
  std::string other = opt(512);
  other[2] = 42;
  EXPECT_EQ(refusal({.additional = 1, .rest = other}), Code::kFormatError);
  EXPECT_FALSE(refusal({.additional = 1, .rest = opt(512, std::string(40, 'c'))}));
}

TEST(Question, NamesAreBoundedAndNeverCompressed) {
  const std::string longest = name_of(std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                                      std::string(63, 'c') + "." + std::string(61, 'd'));
  ASSERT_EQ(longest.size(), kMaxNameBytes);
  EXPECT_FALSE(refusal({.name = longest}));
  EXPECT_EQ(refusal({.name = name_of(std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                                     std::string(63, 'c') + "." + std::string(62, 'd'))}),
            Code::kFormatError);
  EXPECT_EQ(refusal({.name = "\x40" + std::string(64, 'a') + '\0'}), Code::kFormatError);
  EXPECT_EQ(refusal({.name = std::string("\xC0\x0C", 2)}), Code::kFormatError);
  EXPECT_EQ(read_question(Made().bytes().substr(0, 20)).refusal, Code::kFormatError);
  EXPECT_EQ(read_question(Made().bytes().substr(0, Made().bytes().size() - 1)).refusal, Code::kFormatError);
}

TEST(Question, IsBoundedAsAWhole) {
  const size_t fixed = Made().bytes().size() + opt(512).size();
  EXPECT_FALSE(refusal({.additional = 1, .rest = opt(512, std::string(kMaxQuestionMessage - fixed, 'o'))}));
  EXPECT_EQ(refusal({.additional = 1, .rest = opt(512, std::string(kMaxQuestionMessage - fixed + 1, 'o'))}),
            Code::kFormatError);
}

struct Exchanged {
  std::string sent = Made().bytes();
  Question question = *read_question(sent).question;
  [[nodiscard]] Reply of(const Made& reply) const { return classify_reply(sent, question, reply.bytes()); }
};

TEST(Reply, IsOursByIdAndQuestion) {
  const Exchanged x;
  EXPECT_EQ(x.of({.flags = 0x8180}), Reply::kAnswer);
  EXPECT_EQ(x.of({.flags = 0x8183}), Reply::kAnswer);  // no such name is an answer
  EXPECT_EQ(x.of({.flags = 0x8180, .name = name_of("WWW.example.org")}), Reply::kAnswer);
  EXPECT_EQ(x.of({.id = 0x1235, .flags = 0x8180}), Reply::kNotOurs);
  EXPECT_EQ(x.of({.flags = 0x0100}), Reply::kNotOurs);  // a question
  EXPECT_EQ(x.of({.flags = 0x8180 | 5 << 11}), Reply::kNotOurs);
  EXPECT_EQ(x.of({.flags = 0x8180, .name = name_of("www.example.com")}), Reply::kNotOurs);
  EXPECT_EQ(x.of({.flags = 0x8180, .type = kTypeAaaa}), Reply::kNotOurs);
  EXPECT_EQ(x.of({.flags = 0x8180, .klass = 3}), Reply::kNotOurs);
  EXPECT_EQ(x.of({.flags = 0x8180, .questions = 2}), Reply::kNotOurs);
  EXPECT_EQ(classify_reply(x.sent, x.question, Made{.flags = 0x8180}.bytes().substr(0, x.question.end - 1)),
            Reply::kNotOurs);
  EXPECT_EQ(classify_reply(x.sent, x.question, ""), Reply::kNotOurs);
}

TEST(Reply, OfAServerThatCannotIsAFailure) {
  const Exchanged x;
  for (const int code : {1, 2, 4, 5}) EXPECT_EQ(x.of({.flags = 0x8180 | code}), Reply::kFailed) << code;
  const std::string bare = u16(0x1234) + u16(0x8182) + std::string(8, '\0');
  EXPECT_EQ(classify_reply(x.sent, x.question, bare), Reply::kFailed);
  EXPECT_EQ(classify_reply(x.sent, x.question, u16(0x1234) + u16(0x8180) + std::string(8, '\0')),
            Reply::kNotOurs);  // an answer to nothing
}

TEST(Answer, OfACodeKeepsIdAndQuestionAndNothingElse) {
  const std::string asked = Made{.additional = 1, .rest = opt(1232)}.bytes();
  const std::string answer = code_answer(asked, *read_question(asked).question, Code::kServerFailure);
  EXPECT_EQ(answer, u16(0x1234) + u16(0x8182) + u16(1) + std::string(6, '\0') + Made().bytes().substr(12));
  EXPECT_EQ(code_answer(asked, std::nullopt, Code::kFormatError),
            u16(0x1234) + u16(0x8181) + std::string(8, '\0'));
}

TEST(Answer, ThatIsTooLongIsCutToItsQuestion) {
  const Exchanged x;
  const std::string cut =
      truncated(Made{.flags = 0x8180, .answers = 9, .rest = std::string(600, 'r')}.bytes(), x.question);
  EXPECT_EQ(cut, u16(0x1234) + u16(0x8380) + u16(1) + std::string(6, '\0') + Made().bytes().substr(12));
}

std::optional<std::string> own(std::string_view name, int type) {
  const std::string asked = Made{.type = type, .name = name_of(name)}.bytes();
  return own_answer(asked, *read_question(asked).question, {"skerry.localhost", 0xC6120001});
}

TEST(OwnNames, OfThePlatformAreTheGateway) {
  for (const char* name : {"skerry.localhost", "hello-0123456789.skerry.localhost", "HELLO.Skerry.Localhost",
                           "a.b.c.skerry.localhost"}) {
    const auto answer = own(name, kTypeA);
    ASSERT_TRUE(answer) << name;
    EXPECT_TRUE(answer->ends_with(std::string("\0\4\xC6\x12\0\1", 6))) << name;
    EXPECT_EQ(answer->substr(2, 10), u16(0x8580) + u16(1) + u16(1) + u16(0) + u16(0));
  }
}

TEST(OwnNames, OfThePlatformHaveNoOtherRecordsAndSayForHowLong) {
  for (const int type : {28, 65, 16, 6, 2}) {
    const auto answer = own("x.skerry.localhost", type);
    ASSERT_TRUE(answer) << type;
    EXPECT_EQ(answer->substr(2, 10), u16(0x8580) + u16(1) + u16(0) + u16(1) + u16(0));
    EXPECT_NE(answer->find(name_of("skerry.localhost") + u16(6) + u16(1) + u16(0) + u16(60)),
              std::string::npos);
    EXPECT_TRUE(answer->ends_with(u16(0) + u16(60)));
  }
}

TEST(OwnNames, OfLocalhostAreTheLoopback) {
  for (const char* name : {"localhost", "x.localhost"}) {
    EXPECT_TRUE(own(name, kTypeA)->ends_with(std::string("\0\4\x7F\0\0\1", 6)));
    EXPECT_TRUE(own(name, kTypeAaaa)->ends_with(std::string(15, '\0') + '\1'));
    EXPECT_NE(own(name, 16)->find(name_of("localhost") + u16(6)), std::string::npos);
  }
}

TEST(OwnNames, AreWholeLabelsOnly) {
  for (const char* name :
       {"xskerry.localhost.org", "skerry.localhost.example.org", "mylocalhost", "example.org", ""})
    EXPECT_FALSE(own(name, kTypeA)) << name;
  const std::string asked =
      Made{.name = std::string("\x12x.skerry.localhost", 19) + '\0'}.bytes();  // one label
  EXPECT_FALSE(own_answer(asked, *read_question(asked).question, {"skerry.localhost", 1}));
}

}  // namespace
}  // namespace skerry::dns
