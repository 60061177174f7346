// Test support: tars made byte by byte, so that they can say what no well-behaved writer would.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace skerry::unpack {

struct TarEntry {
  std::string name;
  char type = '0';
  std::string content;
  std::string link;
  uint32_t mode = 0644;
  uint64_t uid = 0;
  uint64_t gid = 0;
  uint64_t mtime = 1'700'000'000;
  int64_t size = -1;  // as stated; -1: the content's
};

class TarBuilder {
 public:
  TarBuilder& add(const TarEntry& entry);
  TarBuilder& file(std::string name, std::string content, uint32_t mode = 0644) {
    return add({.name = std::move(name), .content = std::move(content), .mode = mode});
  }
  TarBuilder& directory(std::string name, uint32_t mode = 0755) {
    return add({.name = std::move(name), .type = '5', .mode = mode});
  }
  TarBuilder& symlink(std::string name, std::string to) {
    return add({.name = std::move(name), .type = '2', .link = std::move(to)});
  }
  TarBuilder& hardlink(std::string name, std::string to) {
    return add({.name = std::move(name), .type = '1', .link = std::move(to)});
  }
  // A pax header with one record for the entry that follows.
  TarBuilder& pax(std::string_view key, std::string_view value);
  [[nodiscard]] std::string finish() const { return bytes_ + std::string(1024, '\0'); }

 private:
  std::string bytes_;
};

}  // namespace skerry::unpack
