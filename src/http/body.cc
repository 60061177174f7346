#include "http/body.h"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

BodyDecoder::BodyDecoder(Framing framing, uint64_t content_length) : left_(content_length) {
  switch (framing) {
    case Framing::kNone: state_ = State::kDone; break;
    case Framing::kLength: state_ = content_length > 0 ? State::kFixed : State::kDone; break;
    case Framing::kChunked: state_ = State::kSize; break;
    case Framing::kUntilClose: state_ = State::kUntilClose; break;
  }
}

BodyDecoder::Status BodyDecoder::next(std::string_view& input, std::string_view& piece) {
  switch (state_) {
    case State::kDone: return Status::kDone;
    case State::kBad: return Status::kMalformed;
    case State::kFixed:
      if (input.empty()) return Status::kNeedMore;
      piece = input.substr(0, std::min<uint64_t>(left_, input.size()));
      input.remove_prefix(piece.size());
      left_ -= piece.size();
      if (left_ == 0) state_ = State::kDone;
      return Status::kPiece;
    case State::kUntilClose:
      if (input.empty()) return Status::kNeedMore;
      piece = input;
      input = {};
      return Status::kPiece;
    default: return next_chunked(input, piece);
  }
}

BodyDecoder::Status BodyDecoder::next_chunked(std::string_view& input, std::string_view& piece) {
  while (!input.empty()) {
    if (state_ == State::kData) {
      piece = input.substr(0, std::min<uint64_t>(left_, input.size()));
      input.remove_prefix(piece.size());
      left_ -= piece.size();
      if (left_ == 0) state_ = State::kDataCr;
      return Status::kPiece;
    }
    const char c = input.front();
    input.remove_prefix(1);
    if (!framing_byte(c)) {
      state_ = State::kBad;
      return Status::kMalformed;
    }
    if (state_ == State::kDone) return Status::kDone;
  }
  return Status::kNeedMore;
}

void BodyDecoder::size_finished() {
  digits_ = 0;
  overhead_ = 0;
  state_ = left_ > 0 ? State::kData : State::kTrailer;
}

bool BodyDecoder::framing_byte(char c) {
  switch (state_) {
    case State::kSize:
      if (const int digit = hex_digit(c); digit >= 0) {
        if (++digits_ > 15) return false;
        left_ = (digits_ == 1 ? 0 : left_ * 16) + static_cast<uint64_t>(digit);
        return true;
      }
      if (digits_ == 0) return false;
      if (c == ';') state_ = State::kExtension;
      else if (c == '\r') state_ = State::kSizeLf;
      else return false;
      return true;
    case State::kExtension:
      if (c == '\r') {
        state_ = State::kSizeLf;
        return true;
      }
      return ++overhead_ <= kMaxChunkExtensionBytes && c != '\n' && (c == '\t' || static_cast<unsigned char>(c) >= 0x20);
    case State::kSizeLf:
      if (c != '\n') return false;
      size_finished();
      return true;
    case State::kDataCr:
      state_ = State::kDataLf;
      return c == '\r';
    case State::kDataLf:
      state_ = State::kSize;
      return c == '\n';
    case State::kTrailer: {
      if (++overhead_ > kMaxTrailerBytes) return false;
      if (c != '\n') {
        trailer_line_ += c;
        return true;
      }
      if (trailer_line_.empty() || trailer_line_.back() != '\r') return false;
      trailer_line_.pop_back();
      if (trailer_line_.find('\r') != std::string::npos) return false;
      if (trailer_line_.empty()) {
        state_ = State::kDone;
        return true;
      }
      const size_t colon = trailer_line_.find(':');
      const bool valid = colon != std::string::npos && is_token(std::string_view(trailer_line_).substr(0, colon)) && is_header_value(trailer_line_);
      trailer_line_.clear();
      return valid;
    }
    default: return false;
  }
}

bool BodyDecoder::end_of_input() {
  if (state_ == State::kUntilClose) state_ = State::kDone;
  return state_ == State::kDone;
}

void append_chunk_size(std::string& out, size_t size) { fmt::format_to(std::back_inserter(out), "{:x}\r\n", size); }

}  // namespace skerry::http
