// SecretBytes: memory for keys and plaintexts. Locked where the kernel allows it, out of core dumps, between
// guard pages, zeroed when it goes.
//
// Moves but never copies by itself: a copy of a secret is something that its reader sees in the code
// (`SecretBytes::copy_of`). Has no conversion to std::string, no stream operator and no formatter, so that it
// cannot reach a log by accident.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace skerry {

class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(size_t size);  // zeros; std::bad_alloc when there is no memory
  [[nodiscard]] static SecretBytes copy_of(std::string_view bytes);
  // Copies `bytes` and zeroes the source: for a value that arrived in ordinary memory.
  [[nodiscard]] static SecretBytes take_from(std::string& bytes);

  SecretBytes(SecretBytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  [[nodiscard]] char* data() { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  // The bytes, for the call that needs them. Valid while this object lives.
  [[nodiscard]] std::string_view reveal() const { return {data_, size_}; }

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
};

// Overwrites `bytes` in a way that the compiler may not drop, then empties it. Its whole capacity is wiped.
void wipe(std::string& bytes);

}  // namespace skerry
