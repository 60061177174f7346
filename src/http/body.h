// HTTP/1.1 bodies, sans I/O: takes bytes as they come and says which of them are body.
//
// BodyDecoder serves all four framings. Chunked is strict (RFC 9112 section 7.1): hexadecimal sizes of at most 15 digits, CRLF only; chunk
// extensions and trailers are bounded and dropped, because the framing is rewritten, never copied.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/head.h"

namespace skerry::http {

inline constexpr size_t kMaxChunkExtensionBytes = 256;
inline constexpr size_t kMaxTrailerBytes = 8 * 1024;

class BodyDecoder {
 public:
  BodyDecoder() = default;
  BodyDecoder(Framing framing, uint64_t content_length);

  enum class Status : uint8_t { kPiece, kNeedMore, kDone, kMalformed };
  // Consumes from the front of `input`. kPiece: `piece` is a part of the body (a view into the input). Call again until kNeedMore or kDone.
  Status next(std::string_view& input, std::string_view& piece);
  // The peer closed. True when that is a proper end.
  [[nodiscard]] bool end_of_input();
  [[nodiscard]] bool done() const { return state_ == State::kDone; }

 private:
  enum class State : uint8_t { kFixed, kUntilClose, kSize, kExtension, kSizeLf, kData, kDataCr, kDataLf, kTrailer, kDone, kBad };
  Status next_chunked(std::string_view& input, std::string_view& piece);
  // Consumes one byte of chunked framing; false when malformed.
  bool framing_byte(char c);
  void size_finished();

  State state_ = State::kDone;
  uint64_t left_ = 0;
  size_t digits_ = 0;
  size_t overhead_ = 0;      // bytes of the extension or the trailer section in hand
  std::string trailer_line_;
};

// "1a\r\n"
void append_chunk_size(std::string& out, size_t size);

}  // namespace skerry::http
