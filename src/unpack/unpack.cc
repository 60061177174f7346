#include "unpack/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "os/file.h"
#include "unpack/archive_reader.h"
#include "unpack/tree_writer.h"

namespace skerry::unpack {
namespace {

constexpr mode_t kSetIdBits = S_ISUID | S_ISGID;
constexpr mode_t kKeptBits = 01777;
constexpr uint64_t kFramingPerEntry = 8192;  // header, padding and long-name records of one entry, generously
constexpr uint64_t kFramingOnce = 1 << 20;
constexpr int64_t kLatestTime = 0xFFFFFFFFLL;  // the year 2106: within every file system's range

std::unexpected<Error> refuse(std::string_view why) {
  return fail(ErrorCode::kInvalidArgument, "{}", why);
}

// A name as it may stand in a message: escaped and cut.
std::string shown(std::string_view name) {
  constexpr size_t kShownBytes = 200;
  std::string out;
  append_json_escaped(out, name.substr(0, kShownBytes));
  if (name.size() > kShownBytes) out += "..";
  return out;
}

// The path without "." components and trailing slashes; "" is the root of the tree.
Result<std::string> clean_path(std::string_view path) {
  if (path.empty()) return refuse("an empty name");
  if (path.front() == '/') return refuse("an absolute path");
  if (path.size() > kMaxPathBytes)
    return fail(ErrorCode::kTooLarge, "a path longer than {} bytes", kMaxPathBytes);
  std::string out;
  size_t depth = 0;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view component = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (component.empty() || component == ".") continue;
    // SECURITY: the kernel would refuse to leave the target as well; refusing here names the entry, and
    // "a/../b" too.
    if (component == "..") return refuse("a `..` in the path");
    if (component.size() > kMaxNameBytes)
      return fail(ErrorCode::kTooLarge, "a name longer than {} bytes", kMaxNameBytes);
    if (++depth > kMaxPathDepth)
      return fail(ErrorCode::kTooLarge, "more than {} folders deep", kMaxPathDepth);
    if (!out.empty()) out += '/';
    out += component;
  }
  return out;
}

Result<void> check_empty(int directory) {
  TRY_ASSIGN(const UniqueFd fd, open_beneath(directory, ".", O_RDONLY | O_DIRECTORY));
  alignas(8) char entries[512];
  const long n = ::syscall(SYS_getdents64, fd.get(), entries, sizeof entries);
  if (n < 0) return fail_errno("list the target directory");
  // "." and ".." take 24 bytes each in struct linux_dirent64.
  if (n > 48) return fail(ErrorCode::kConflict, "the target directory is not empty");
  return {};
}

class Unpacker {
 public:
  Unpacker(ArchiveReader& reader, TreeWriter& writer, const Options& options)
      : reader_(reader), writer_(writer), options_(options) {}

  Result<void> run() {
    Entry entry;
    for (;;) {
      TRY_ASSIGN(const bool more, reader_.next(entry));
      if (!more) return {};
      // SECURITY: repeated mentions of a directory make nothing, but each costs time; entries are bounded as
      // well as what they make.
      if (++mentions_ > uint64_t{options_.max_files} * 2)
        return fail(ErrorCode::kTooLarge, "more than {} entries", mentions_ - 1);
      if (auto done = one(entry); !done)
        return pass(std::move(done).error(), fmt::format("entry `{}`", shown(entry.path)));
    }
  }

  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  Result<void> one(const Entry& entry) {
    TRY_ASSIGN(const std::string path, clean_path(entry.path));
    TRY(check(entry));
    if (path.empty() && entry.type != EntryType::kDirectory)
      return refuse("the top of the tree as something else than a directory");
    switch (entry.type) {
      case EntryType::kDirectory:
        return writer_.directory(path, attributes(entry));
      case EntryType::kFile:
        return file(path, entry);
      case EntryType::kSymlink:
        if (entry.link.empty()) return refuse("a symbolic link to nothing");
        if (entry.link.size() > kMaxLinkBytes)
          return fail(ErrorCode::kTooLarge, "a link target longer than {} bytes", kMaxLinkBytes);
        return writer_.symlink(path, entry.link, attributes(entry));
      case EntryType::kHardlink: {
        TRY_ASSIGN(const std::string target, clean_path(entry.link), "hard link target");
        return writer_.hardlink(path, target);
      }
      case EntryType::kOther:
        break;
    }
    return fail(ErrorCode::kInvalidArgument, "it is {}; an archive may have files, folders and links only",
                entry.other_type);
  }

  static Result<void> check(const Entry& entry) {
    // SECURITY: a set-uid file of a tenant must never lie on the host, whatever it is mounted as.
    if ((entry.mode & kSetIdBits) != 0 && entry.type != EntryType::kSymlink)
      return refuse("a set-uid or set-gid bit");
    if (entry.has_acl) return refuse("an access control list");
    for (const std::string& name : entry.xattrs) {
      // SECURITY: these mean something to Linux (file capabilities, overlayfs whiteouts). Other systems'
      // attributes are left behind.
      for (const std::string_view space : {"security.", "trusted.", "system.", "user."}) {
        if (name.starts_with(space))
          return fail(ErrorCode::kInvalidArgument, "the extended attribute `{}`", shown(name));
      }
    }
    return {};
  }

  [[nodiscard]] Attributes attributes(const Entry& entry) const {
    const auto mapped = [&](int64_t id) -> uint32_t {
      if (options_.owner == Owner::kFunction) return kUnprivilegedUid;
      return id >= 0 && id <= 65535 ? static_cast<uint32_t>(id) : kNobody;
    };
    return {.mode = static_cast<mode_t>(entry.mode & kKeptBits),
            .uid = mapped(entry.uid),
            .gid = mapped(entry.gid),
            .mtime = std::clamp<int64_t>(entry.mtime, 0, kLatestTime),
            .mtime_ns = entry.mtime_ns < 1'000'000'000 ? entry.mtime_ns : 0};
  }

  Result<void> file(const std::string& path, const Entry& entry) {
    if (entry.size < 0) return refuse("no size");
    const auto size = static_cast<uint64_t>(entry.size);
    // SECURITY: apparent size, before a byte is written: a hole of a terabyte costs the archive nothing and
    // its reader everything.
    if (size > options_.max_bytes - bytes_)
      return fail(ErrorCode::kTooLarge, "more than {} bytes in all", options_.max_bytes);
    bytes_ += size;
    TRY_ASSIGN(const OpenFile out, writer_.file(path, attributes(entry)));
    int64_t end = 0;
    Block block;
    for (;;) {
      TRY_ASSIGN(const bool more, reader_.read(block));
      if (!more) break;
      const auto length = static_cast<int64_t>(block.bytes.size());
      if (block.offset < end || block.offset > entry.size || length > entry.size - block.offset)
        return refuse("content outside of its size");
      TRY(write_at(out.fd.get(), block));
      end = block.offset + length;
    }
    if (end < entry.size && ::ftruncate(out.fd.get(), entry.size) != 0) return fail_errno("set size");
    return TreeWriter::finish_file(out);
  }

  static Result<void> write_at(int fd, Block block) {
    while (!block.bytes.empty()) {
      const ssize_t n = ::pwrite(fd, block.bytes.data(), block.bytes.size(), block.offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("write");
      block.bytes.remove_prefix(static_cast<size_t>(n));
      block.offset += n;
    }
    return {};
  }

  ArchiveReader& reader_;
  TreeWriter& writer_;
  const Options& options_;
  uint64_t bytes_ = 0;
  uint64_t mentions_ = 0;
};

}  // namespace

Result<Unpacked> unpack(int archive, int target, const Options& options) {
  TRY(check_empty(target));
  std::string folder;
  if (!options.subfolder.empty() && options.subfolder != "/") {
    if (options.subfolder.front() != '/') return refuse("the subfolder is not absolute");
    TRY_ASSIGN(folder, clean_path(std::string_view(options.subfolder).substr(1)), "subfolder");
  }
  const uint64_t framing = options.max_files * kFramingPerEntry + kFramingOnce;
  TRY_ASSIGN(ArchiveReader reader,
             ArchiveReader::open(archive, options.max_bytes + framing, options.max_bytes + framing));

  // The target is the top of a file system to come: readable by all, whatever umask it was made under.
  const Attributes top{.mode = 0755};
  const uint32_t own = options.owner == Owner::kFunction ? kUnprivilegedUid : 0;
  TreeWriter root(target, options.max_files);
  TRY(root.directory("", top));
  UniqueFd below;
  if (!folder.empty()) {
    TRY(root.directory(folder, {.mode = 0755, .uid = own, .gid = own}), "subfolder");
    TRY_ASSIGN(below, open_beneath(target, folder, O_RDONLY | O_DIRECTORY));
  }
  // The subfolder is its caller's, not one of the archive's files.
  TreeWriter tree(folder.empty() ? target : below.get(), options.max_files);
  Unpacker unpacker(reader, tree, options);
  TRY(unpacker.run());
  TRY_ASSIGN(const std::string sum, reader.finish());
  if (const Digest digest = Digest::of_bytes(sum); digest != options.digest) {
    return fail(ErrorCode::kInvalidArgument, "the archive's digest is {}, announced was {}", digest.str(),
                options.digest.str());
  }
  TRY(root.finish());
  TRY(tree.finish());
  return Unpacked{unpacker.bytes(), root.entries() + tree.entries()};
}

}  // namespace skerry::unpack
