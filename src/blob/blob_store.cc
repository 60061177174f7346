#include "blob/blob_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "base/id.h"
#include "os/file.h"

namespace skerry {
namespace {
constexpr std::string_view kTemporary = ".tmp-";
}

Result<BlobStore> BlobStore::open(const std::string& directory) {
  TRY(make_directories(directory, 0700));
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
  if (!dir) return fail_errno("open `{}`", directory);
  while (const dirent* entry = ::readdir(dir.get()))
    if (std::string_view(entry->d_name).starts_with(kTemporary)) ::unlink((directory + "/" + entry->d_name).c_str());
  return BlobStore(directory);
}

Result<BlobStore::Writer> BlobStore::create(uint64_t limit_bytes) {
  std::string name = std::string(kTemporary) + new_ulid();
  TRY_ASSIGN(UniqueFd fd, open_at(AT_FDCWD, directory_ + "/" + name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  return Writer(directory_, std::move(name), std::move(fd), limit_bytes);
}

BlobStore::Writer::~Writer() {
  if (fd_ && !name_.empty()) ::unlink((directory_ + "/" + name_).c_str());
}

Result<void> BlobStore::Writer::write(std::string_view bytes) {
  size_ += bytes.size();
  if (size_ > limit_) return fail(ErrorCode::kTooLarge, "more than {} MB", limit_ >> 20);
  return write_all(fd_.get(), bytes);
}

Result<Digest> BlobStore::Writer::commit(const std::optional<Digest>& expected) {
  // Read back from the file: what is hashed is what is kept, whoever wrote it.
  if (::lseek(fd_.get(), 0, SEEK_SET) < 0) return fail_errno("lseek");
  Sha256 hash;
  size_ = 0;
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(fd_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read back");
    if (n == 0) break;
    size_ += static_cast<uint64_t>(n);
    if (size_ > limit_) return fail(ErrorCode::kTooLarge, "more than {} MB", limit_ >> 20);
    hash.update({buffer, static_cast<size_t>(n)});
  }
  const Digest digest = Digest::of_bytes(hash.finish());
  if (expected && *expected != digest)
    return fail(ErrorCode::kInvalidArgument, "the bytes are {}, not {} as announced: they were changed on their way", digest.str(), expected->str());
  if (::fsync(fd_.get()) != 0) return fail_errno("fsync");
  TRY_ASSIGN(const UniqueFd folder, open_at(AT_FDCWD, directory_, O_RDONLY | O_DIRECTORY));
  if (::renameat(folder.get(), name_.c_str(), folder.get(), digest.hex().c_str()) != 0) return fail_errno("keep the blob");
  name_.clear();
  if (::fsync(folder.get()) != 0) return fail_errno("fsync `{}`", directory_);
  return digest;
}

Result<UniqueFd> BlobStore::open_blob(const Digest& digest) const {
  auto fd = open_at(AT_FDCWD, directory_ + "/" + digest.hex(), O_RDONLY | O_NOFOLLOW);
  if (!fd && fd.error().code() == ErrorCode::kNotFound) return fail(ErrorCode::kNotFound, "nothing was uploaded as {}", digest.str());
  return fd;
}

void BlobStore::remove(const Digest& digest) const { ::unlink((directory_ + "/" + digest.hex()).c_str()); }

}  // namespace skerry
