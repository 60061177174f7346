// Finds where an HTTP/1.1 answer ends: just as much as a load generator needs. An answer without a length that is not chunked is refused, because
// keep-alive could not go on behind it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace loadgen {

class AnswerReader {
 public:
  enum class State { kMore, kDone, kBad };

  // Feeds what arrived; after kDone or kBad call reset(). More bytes than the answer has are kBad.
  State feed(std::string_view bytes);
  void reset();

  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] bool closes() const { return closes_; }

 private:
  enum class Part { kHead, kLength, kChunkSize, kChunk, kTrailer };
  static constexpr size_t kMaxHeadBytes = 64 * 1024;

  State read_head();
  State read_body();

  std::string buffer_;
  Part part_ = Part::kHead;
  uint64_t left_ = 0;  // of the body or the chunk with its CRLF
  int status_ = 0;
  bool closes_ = false;
};

}  // namespace loadgen
