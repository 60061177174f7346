#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "unpack/tar_builder.h"

namespace skerry::unpack {
namespace {

void put_octal(char* field, size_t width, uint64_t value) {
  const std::string text = fmt::format("{:0{}o}", value, width - 1);
  std::memcpy(field, text.data(), std::min(text.size(), width - 1));
}

void put_text(char* field, size_t width, const std::string& text) {
  std::memcpy(field, text.data(), std::min(text.size(), width));
}

}  // namespace

TarBuilder& TarBuilder::add(const TarEntry& entry) {
  char header[512] = {};
  put_text(header, 100, entry.name);
  put_octal(header + 100, 8, entry.mode);
  put_octal(header + 108, 8, entry.uid);
  put_octal(header + 116, 8, entry.gid);
  put_octal(header + 124, 12, entry.size >= 0 ? static_cast<uint64_t>(entry.size) : entry.content.size());
  put_octal(header + 136, 12, entry.mtime);
  std::memset(header + 148, ' ', 8);
  header[156] = entry.type;
  put_text(header + 157, 100, entry.link);
  std::memcpy(header + 257, "ustar\00000", 8);
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put_octal(header + 148, 7, sum);
  bytes_.append(header, sizeof header);
  bytes_ += entry.content;
  bytes_.append((512 - entry.content.size() % 512) % 512, '\0');
  return *this;
}

TarBuilder& TarBuilder::pax(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (fmt::format("{}", length).size() + rest != length) ++length;
  return add({.name = "PaxHeader", .type = 'x', .content = fmt::format("{} {}={}\n", length, key, value)});
}

}  // namespace skerry::unpack
