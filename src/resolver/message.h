// The part of a DNS message (RFC 1035, 6891) that a forwarder must understand: a question in, the answers it
// makes itself, and whether bytes from a server are the answer to what was asked. Pure functions over bytes;
// everything else of a message passes as it is.
//
// SECURITY: questions come from tenants, answers from whoever can send to us. No length is believed, no
// compression is followed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace skerry::dns {

inline constexpr size_t kHeaderBytes = 12;
inline constexpr size_t kMaxQuestionMessage =
    1024;  // a name of 255 bytes, and room for EDNS options such as cookies
inline constexpr size_t kMaxNameBytes = 255;  // RFC 1035, with the length bytes and the root's
inline constexpr size_t kMaxLabelBytes = 63;
inline constexpr size_t kPlainUdpBytes = 512;  // what an asker without EDNS takes over UDP
inline constexpr size_t kMaxUdpAnswer = 4096;  // what we take over UDP, whatever the asker says it would

enum class Code : uint8_t {
  kNoError = 0,
  kFormatError = 1,
  kServerFailure = 2,
  kNotImplemented = 4,
  kRefused = 5
};

inline constexpr uint16_t kTypeA = 1, kTypeSoa = 6, kTypeAaaa = 28, kTypeAny = 255;

struct Question {
  uint16_t id = 0;
  uint16_t type = 0;
  std::string name;  // lower case, labels joined by '.', without the last one; "" is the root. A dot inside a
                     // label is written "\046"
  size_t end = 0;    // of the header and the question in the message
  size_t udp_bytes = kPlainUdpBytes;  // what the asker takes over UDP; at most kMaxUdpAnswer
};

// What came from a container. A question to be answered; or a code to refuse it with; or nothing, for what
// deserves no answer at all: what is shorter than a header, and answers (SECURITY: two resolvers that answer
// each other's answers never stop).
struct Asked {
  std::optional<Question> question;
  std::optional<Code> refusal;
};
// Exactly one question of class IN, nothing else but an OPT record. Zone transfers, updates and the types of
// signed messages are refused.
[[nodiscard]] Asked read_question(std::string_view message);

// The message with another id.
[[nodiscard]] std::string with_id(std::string_view message, uint16_t id);

enum class Reply : uint8_t {
  kNotOurs,  // not the answer to this question: dropped, and waiting goes on
  kAnswer,   // to be passed on, NXDOMAIN included
  kFailed,   // the server could not or would not: another one may
};
// `sent` is the message as it was sent, with the id that was drawn for it.
[[nodiscard]] Reply classify_reply(std::string_view sent, const Question& question, std::string_view reply);

// Header and question of `message` (one with at least a header), with a code: what is not understood of it is
// left out.
[[nodiscard]] std::string code_answer(std::string_view message, const std::optional<Question>& question,
                                      Code code);
// The answer cut to header and question, with the bit that says to ask over TCP.
[[nodiscard]] std::string truncated(std::string_view answer, const Question& question);

// Names that are answered here and never asked of anybody.
struct Zone {
  std::string domain;    // of the platform, lower case: it and all below it are `gateway`
  uint32_t gateway = 0;  // host byte order
};
inline constexpr uint32_t kOwnTtlSeconds = 60;
// The answer where the name is the platform's (A: the gateway), or localhost's (A and AAAA: the loopback); no
// record of other types, and an SOA that says how long to remember that.
[[nodiscard]] std::optional<std::string> own_answer(std::string_view message, const Question& question,
                                                    const Zone& zone);

}  // namespace skerry::dns
