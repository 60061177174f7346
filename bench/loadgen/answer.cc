#include "answer.h"

#include <strings.h>

#include <algorithm>
#include <charconv>

namespace loadgen {
namespace {

bool equals(std::string_view a, std::string_view b) { return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0; }

// A whole number in `base`, or false.
bool number(std::string_view text, uint64_t& out, int base) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc() && end != text.data();
}

}  // namespace

void AnswerReader::reset() {
  buffer_.clear();
  part_ = Part::kHead;
  left_ = 0;
  status_ = 0;
  closes_ = false;
}

AnswerReader::State AnswerReader::feed(std::string_view bytes) {
  buffer_.append(bytes);
  if (part_ == Part::kHead) {
    if (const State state = read_head(); state != State::kMore || part_ == Part::kHead) return state;
  }
  return read_body();
}

AnswerReader::State AnswerReader::read_head() {
  const size_t end = buffer_.find("\r\n\r\n");
  if (end == std::string::npos) return buffer_.size() > kMaxHeadBytes ? State::kBad : State::kMore;
  std::string_view head(buffer_.data(), end);
  uint64_t status = 0;
  if (!head.starts_with("HTTP/1.1 ") || !number(head.substr(9, 3), status, 10)) return State::kBad;
  status_ = static_cast<int>(status);
  bool framed = status_ == 204 || status_ == 304;
  part_ = Part::kLength;
  for (size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
    const std::string_view line = head.substr(at + 2, head.find("\r\n", at + 2) - at - 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return State::kBad;
    const std::string_view name = line.substr(0, colon);
    std::string_view value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    if (equals(name, "content-length")) {
      if (!number(value, left_, 10)) return State::kBad;
      framed = true;
    } else if (equals(name, "transfer-encoding") && equals(value, "chunked")) {
      part_ = Part::kChunkSize;
      framed = true;
    } else if (equals(name, "connection") && equals(value, "close")) {
      closes_ = true;
    }
  }
  buffer_.erase(0, end + 4);
  return framed ? State::kMore : State::kBad;
}

AnswerReader::State AnswerReader::read_body() {
  for (;;) {
    if (part_ == Part::kLength || part_ == Part::kChunk) {
      const uint64_t taken = std::min<uint64_t>(left_, buffer_.size());
      buffer_.erase(0, taken);
      left_ -= taken;
      if (left_ > 0) return State::kMore;
      if (part_ == Part::kLength) return buffer_.empty() ? State::kDone : State::kBad;
      part_ = Part::kChunkSize;
    }
    const size_t end = buffer_.find("\r\n");
    if (end == std::string::npos) return buffer_.size() > kMaxHeadBytes ? State::kBad : State::kMore;
    if (part_ == Part::kTrailer) {
      buffer_.erase(0, end + 2);
      if (end == 0) return buffer_.empty() ? State::kDone : State::kBad;
      continue;
    }
    if (!number(std::string_view(buffer_).substr(0, end), left_, 16)) return State::kBad;
    part_ = left_ == 0 ? Part::kTrailer : Part::kChunk;
    if (left_ > 0) left_ += 2;  // its CRLF
    buffer_.erase(0, end + 2);
  }
}

}  // namespace loadgen
