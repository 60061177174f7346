// The codec of messages between Skerry's processes on one machine: little-endian integers and length-prefixed strings.
//
// The reader never trusts a length: every string and list has a bound given by the caller, the first violation makes the reader
// fail for good, and finish() refuses trailing bytes. No allocation is made before the bound was checked.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"

namespace skerry::wire {

class Writer {
 public:
  template <typename T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
  void number(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof raw);
    out_.append(raw, sizeof raw);
  }
  void string(std::string_view text) {
    number(static_cast<uint32_t>(text.size()));
    out_.append(text);
  }
  void strings(const std::vector<std::string>& list) {
    number(static_cast<uint32_t>(list.size()));
    for (const std::string& s : list) string(s);
  }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
    requires std::is_integral_v<T>
  T number() {
    T value{};
    if (bytes_.size() < sizeof value) return failed_ = true, value;
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return value;
  }
  // An enum whose values are 0..last.
  template <typename E>
  E enumeration(E last) {
    const auto raw = number<std::underlying_type_t<E>>();
    if (raw > static_cast<std::underlying_type_t<E>>(last)) failed_ = true;
    return failed_ ? E{} : static_cast<E>(raw);
  }
  bool boolean() {
    const auto raw = number<uint8_t>();
    if (raw > 1) failed_ = true;
    return raw == 1;
  }
  std::string string(size_t max_bytes) {
    const auto size = number<uint32_t>();
    if (failed_ || size > max_bytes || size > bytes_.size()) return failed_ = true, std::string();
    std::string out(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return out;
  }
  std::vector<std::string> strings(size_t max_count, size_t max_bytes) {
    const auto count = number<uint32_t>();
    std::vector<std::string> out;
    if (failed_ || count > max_count) return failed_ = true, out;
    for (uint32_t i = 0; i < count && !failed_; ++i) out.push_back(string(max_bytes));
    return out;
  }
  void fail_now() { failed_ = true; }
  [[nodiscard]] bool failed() const { return failed_; }
  // Ends reading: an error if anything was out of bounds or bytes are left.
  Result<void> finish(std::string_view what) const {
    if (failed_) return fail(ErrorCode::kProtocol, "{}: truncated or over its bounds", what);
    if (!bytes_.empty()) return fail(ErrorCode::kProtocol, "{}: {} bytes too many", what, bytes_.size());
    return {};
  }

 private:
  std::string_view bytes_;
  bool failed_ = false;
};

}  // namespace skerry::wire
