// What of a project folder is uploaded: a sorted list of files, folders and symlinks, the same for the same
// tree.
//
// Called by the CLI before it packs. Reads the disk below `root` and nothing else; follows no symlink.
// Refuses a symlink that leads out of the project, and a project over the limits, by name. Special files are
// left out with a warning.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "contract/function_config.h"

namespace skerry::manifest {

inline constexpr uint64_t kMegabyte = 1024 * 1024;
inline constexpr size_t kMaxProjectDepth =
    100;  // folders in folders; deeper is a loop of bind mounts or a mistake

struct SelectLimits {
  uint64_t compressed_bytes = limits::kUploadBytes;  // checked by whoever packs
  uint64_t unpacked_bytes = limits::kUnpackedBytes;
  size_t files = limits::kUploadFiles;
};

enum class EntryKind { kFile, kDirectory, kSymlink };

struct SelectedEntry {
  std::string path;  // relative, '/'-separated
  EntryKind kind = EntryKind::kFile;
  uint64_t size_bytes = 0;
  bool executable = false;
  std::string link_target;  // kSymlink, as stored
};

struct Selection {
  std::vector<SelectedEntry> entries;  // sorted by path, a folder before what is in it
  uint64_t total_bytes = 0;
  std::string ignore_file;  // the one that was read, or ""
  std::vector<std::string> warnings;
  // The paths of files alone, sorted: for detect_language.
  [[nodiscard]] std::vector<std::string> file_paths() const;
};

Result<Selection> select_files(const std::filesystem::path& root, const SelectLimits& limits = {});

// True for what is never uploaded, at any depth: .git, node_modules, .venv, venv, __pycache__, target,
// .skerry, .env*.
[[nodiscard]] bool is_always_excluded(std::string_view name, EntryKind kind);
// Where a symlink at `path` with this target points, lexically; "" if that is outside of the project or
// absolute.
[[nodiscard]] std::string resolve_inside(std::string_view path, std::string_view target);

}  // namespace skerry::manifest
