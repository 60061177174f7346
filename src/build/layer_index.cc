#include "build/layer_index.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "crypto/encoding.h"
#include "crypto/hash.h"
#include "os/file.h"

namespace skerry {
namespace {

constexpr std::string_view kMagic = "skerry-build-cache 1\n";
constexpr size_t kMaxFileBytes = LayerIndex::kMaxNoteBytes + 512;

std::string sum_of(std::string_view text) { return hex(sha256(text)); }

}  // namespace

std::optional<LayerIndex::Entry> LayerIndex::find(const std::string& key) const {
  const auto text = read_file(folder_ + "/" + key, kMaxFileBytes);
  if (!text || !text->starts_with(kMagic)) return std::nullopt;
  // Digest, note, sum of all before it: a line each.
  const size_t digest_end = text->find('\n', kMagic.size());
  const size_t note_end = digest_end == std::string::npos ? digest_end : text->find('\n', digest_end + 1);
  if (note_end == std::string::npos || std::string_view(*text).substr(note_end + 1) != sum_of(std::string_view(*text).substr(0, note_end + 1)) + "\n") return std::nullopt;
  auto digest = Digest::parse(std::string_view(*text).substr(kMagic.size(), digest_end - kMagic.size()));
  if (!digest) return std::nullopt;
  return Entry{std::move(*digest), text->substr(digest_end + 1, note_end - digest_end - 1)};
}

Result<void> LayerIndex::remember(const std::string& key, const Entry& entry) const {
  if (entry.note.size() > kMaxNoteBytes || entry.note.find('\n') != std::string::npos) return fail(ErrorCode::kInvalidArgument, "a note of the build cache is one line of at most {} bytes", kMaxNoteBytes);
  TRY_ASSIGN(const UniqueFd folder, open_at(AT_FDCWD, folder_, O_RDONLY | O_DIRECTORY));
  prune();
  const std::string text = fmt::format("{}{}\n{}\n", kMagic, entry.layer.str(), entry.note);
  return write_file_atomic(folder.get(), key, text + sum_of(text) + "\n", 0600);
}

void LayerIndex::forget(const std::string& key) const { ::unlink((folder_ + "/" + key).c_str()); }

void LayerIndex::prune() const {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  for (auto it = fs::directory_iterator(folder_, error); !error && it != fs::directory_iterator(); it.increment(error))
    files.emplace_back(it->last_write_time(error), it->path());
  if (files.size() < kMaxEntries) return;
  std::sort(files.begin(), files.end());
  for (size_t i = 0; i < files.size() / 2; ++i) fs::remove(files[i].second, error);
}

KeyMaker& KeyMaker::add(std::string_view part) {
  parts_ += fmt::format("{}:", part.size());
  parts_ += part;
  return *this;
}

std::string KeyMaker::key() const { return prefix_ + "-" + hex(sha256(parts_)); }

}  // namespace skerry
