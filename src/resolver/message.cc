#include "resolver/message.h"

#include <algorithm>

namespace skerry::dns {
namespace {

constexpr uint16_t kAnswerBit = 0x8000, kOpcodeBits = 0x7800, kAuthoritativeBit = 0x0400,
                   kTruncatedBit = 0x0200, kWantRecursionBit = 0x0100, kRecursionBit = 0x0080;
constexpr uint16_t kCodeBits = 0x000F;
constexpr uint16_t kOpcodeUpdate = 5;
constexpr uint16_t kClassIn = 1;
constexpr uint16_t kTypeOpt = 41;
constexpr uint16_t kFirstMetaType = 249, kLastMetaType = 254;  // TKEY, TSIG, IXFR, AXFR, MAILB, MAILA
constexpr size_t kOptFixedBytes = 11;  // root name, type, size, extended code and flags, length

uint16_t u16(std::string_view bytes, size_t at) {
  return static_cast<uint16_t>(static_cast<unsigned char>(bytes[at]) << 8 |
                               static_cast<unsigned char>(bytes[at + 1]));
}
void put16(std::string& out, uint16_t value) {
  out += {static_cast<char>(value >> 8), static_cast<char>(value & 255)};
}
void put32(std::string& out, uint32_t value) {
  put16(out, static_cast<uint16_t>(value >> 16));
  put16(out, static_cast<uint16_t>(value & 0xFFFF));
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// The name at `at`, which moves past it; false for one that is too long, cut off or compressed.
bool read_name(std::string_view message, size_t& at, std::string& name) {
  size_t total = 0;
  for (;;) {
    if (at >= message.size()) return false;
    const auto length = static_cast<unsigned char>(message[at]);
    total += 1 + length;
    if (length > kMaxLabelBytes || total > kMaxNameBytes || at + 1 + length > message.size()) return false;
    ++at;
    if (length == 0) return true;
    if (!name.empty()) name += '.';
    for (const char c : message.substr(at, length)) {
      // SECURITY: a label that holds a dot is not two labels.
      if (c == '.')
        name += "\\046";
      else
        name += lower(c);
    }
    at += length;
  }
}

// Whether all that is left is one OPT record; its size goes to the question.
bool read_opt(std::string_view rest, Question& question) {
  if (rest.size() < kOptFixedBytes || rest[0] != '\0' || u16(rest, 1) != kTypeOpt ||
      rest.size() != kOptFixedBytes + u16(rest, 9))
    return false;
  question.udp_bytes = std::clamp<size_t>(u16(rest, 3), kPlainUdpBytes, kMaxUdpAnswer);
  return true;
}

Asked refuse(Code code) {
  return {std::nullopt, code};
}

std::string header(std::string_view message, uint16_t flags, uint16_t questions, uint16_t answers,
                   uint16_t authorities) {
  std::string out(message.substr(0, 2));
  put16(out, flags);
  for (const uint16_t count : {questions, answers, authorities, uint16_t{0}}) put16(out, count);
  return out;
}

bool is_below(std::string_view name, std::string_view domain) {
  return name == domain || (name.size() > domain.size() && name.ends_with(domain) &&
                            name[name.size() - domain.size() - 1] == '.');
}

void put_name(std::string& out, std::string_view name) {
  while (!name.empty()) {
    const std::string_view label = name.substr(0, name.find('.'));
    out += static_cast<char>(label.size());
    out.append(label);
    name.remove_prefix(std::min(label.size() + 1, name.size()));
  }
  out += '\0';
}

// The beginning of a record about the name asked for.
void put_record_head(std::string& out, uint16_t type) {
  put16(out, 0xC000 | kHeaderBytes);
  put16(out, type);
  put16(out, kClassIn);
  put32(out, kOwnTtlSeconds);
}

// So that "there is none" is remembered too (RFC 2308): the record of `zone`, with the same time as its last
// field.
void put_soa(std::string& out, std::string_view zone) {
  put_name(out, zone);
  put16(out, kTypeSoa);
  put16(out, kClassIn);
  put32(out, kOwnTtlSeconds);
  std::string record;
  put_name(record, zone);  // the server
  put_name(record, zone);  // who answers for it
  for (const uint32_t number : {1U, 3600U, 600U, 86'400U, kOwnTtlSeconds}) put32(record, number);
  put16(out, static_cast<uint16_t>(record.size()));
  out += record;
}

}  // namespace

Asked read_question(std::string_view message) {
  if (message.size() < kHeaderBytes) return {};
  const uint16_t flags = u16(message, 2);
  if ((flags & kAnswerBit) != 0) return {};
  if (message.size() > kMaxQuestionMessage) return refuse(Code::kFormatError);
  if (const int opcode = (flags & kOpcodeBits) >> 11; opcode != 0)
    return refuse(opcode == kOpcodeUpdate ? Code::kRefused : Code::kNotImplemented);
  const uint16_t additional = u16(message, 10);
  if (u16(message, 4) != 1 || u16(message, 6) != 0 || u16(message, 8) != 0 || additional > 1)
    return refuse(Code::kFormatError);
  Question q;
  q.id = u16(message, 0);
  size_t at = kHeaderBytes;
  if (!read_name(message, at, q.name) || at + 4 > message.size()) return refuse(Code::kFormatError);
  q.type = u16(message, at);
  const uint16_t klass = u16(message, at + 2);
  q.end = at + 4;
  const std::string_view rest = message.substr(q.end);
  if (additional == 0 ? !rest.empty() : !read_opt(rest, q)) return refuse(Code::kFormatError);
  // SECURITY: other classes ask the server about itself (`version.bind`), transfers copy whole zones of the
  // host's network.
  if (klass != kClassIn || q.type == 0 || q.type == kTypeOpt ||
      (q.type >= kFirstMetaType && q.type <= kLastMetaType))
    return refuse(Code::kRefused);
  return {std::move(q), std::nullopt};
}

std::string with_id(std::string_view message, uint16_t id) {
  std::string out;
  out.reserve(message.size());
  put16(out, id);
  out.append(message.substr(2));
  return out;
}

Reply classify_reply(std::string_view sent, const Question& question, std::string_view reply) {
  if (reply.size() < kHeaderBytes || reply.substr(0, 2) != sent.substr(0, 2)) return Reply::kNotOurs;
  const uint16_t flags = u16(reply, 2);
  if ((flags & kAnswerBit) == 0 || (flags & kOpcodeBits) != 0) return Reply::kNotOurs;
  const auto code = static_cast<uint16_t>(flags & kCodeBits);
  const bool failed = code != 0 && code != 3;
  // A server may leave the question out of what it cannot read.
  if (u16(reply, 4) == 0) return failed && u16(reply, 6) == 0 ? Reply::kFailed : Reply::kNotOurs;
  if (u16(reply, 4) != 1 || reply.size() < question.end) return Reply::kNotOurs;
  const auto same = [](char a, char b) { return lower(a) == lower(b); };
  const std::string_view asked = sent.substr(kHeaderBytes, question.end - kHeaderBytes),
                         answered = reply.substr(kHeaderBytes, question.end - kHeaderBytes);
  if (!std::equal(asked.begin(), asked.end(), answered.begin(), same) ||
      asked.substr(asked.size() - 4) != answered.substr(answered.size() - 4))
    return Reply::kNotOurs;
  return failed ? Reply::kFailed : Reply::kAnswer;
}

std::string code_answer(std::string_view message, const std::optional<Question>& question, Code code) {
  const auto kept = static_cast<uint16_t>(u16(message, 2) & (kOpcodeBits | kWantRecursionBit));
  const auto flags = static_cast<uint16_t>(kAnswerBit | kept | kRecursionBit | static_cast<uint16_t>(code));
  std::string out = header(message, flags, question ? 1 : 0, 0, 0);
  if (question) out.append(message.substr(kHeaderBytes, question->end - kHeaderBytes));
  return out;
}

std::string truncated(std::string_view answer, const Question& question) {
  std::string out = header(answer, static_cast<uint16_t>(u16(answer, 2) | kTruncatedBit), 1, 0, 0);
  out.append(answer.substr(kHeaderBytes, question.end - kHeaderBytes));
  return out;
}

std::optional<std::string> own_answer(std::string_view message, const Question& question, const Zone& zone) {
  const bool platform = is_below(question.name, zone.domain);
  if (!platform && !is_below(question.name, "localhost")) return std::nullopt;
  const bool v4 = question.type == kTypeA || question.type == kTypeAny,
             v6 = question.type == kTypeAaaa && !platform;
  const bool some = v4 || v6;
  const auto flags = static_cast<uint16_t>(kAnswerBit | kAuthoritativeBit |
                                           (u16(message, 2) & kWantRecursionBit) | kRecursionBit);
  std::string out = header(message, flags, 1, some ? 1 : 0, some ? 0 : 1);
  out.append(message.substr(kHeaderBytes, question.end - kHeaderBytes));
  if (v4) {
    put_record_head(out, kTypeA);
    put16(out, 4);
    put32(out, platform ? zone.gateway : 0x7F000001);
  } else if (v6) {
    put_record_head(out, kTypeAaaa);
    put16(out, 16);
    out.append(15, '\0').append(1, '\1');
  } else {
    put_soa(out, platform ? std::string_view(zone.domain) : "localhost");
  }
  return out;
}

}  // namespace skerry::dns
