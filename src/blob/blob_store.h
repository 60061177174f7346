// Blobs: what was uploaded or built, by the digest of its bytes. <dir>/<hex>, complete or not there.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "contract/ids.h"
#include "crypto/hash.h"

namespace skerry {

class BlobStore {
 public:
  // Makes the folder; removes what a killed writer left.
  static Result<BlobStore> open(const std::string& directory);

  // One blob on its way in. Gone without commit().
  class Writer {
   public:
    Writer(Writer&&) = default;
    ~Writer();
    // kTooLarge past the limit, kNoCapacity on a full disk.
    Result<void> write(std::string_view bytes);
    // Durable and visible once this returned. The same bytes twice are one blob. kInvalidArgument, and nothing kept, when it is not `expected`.
    Result<Digest> commit(const std::optional<Digest>& expected = std::nullopt);
    [[nodiscard]] uint64_t size() const { return size_; }
    // For a writer in another process; commit() then reads the file back.
    [[nodiscard]] int fd() const { return fd_.get(); }

   private:
    friend class BlobStore;
    Writer(std::string directory, std::string name, UniqueFd fd, uint64_t limit)
        : directory_(std::move(directory)), name_(std::move(name)), fd_(std::move(fd)), limit_(limit) {}
    std::string directory_;
    std::string name_;
    UniqueFd fd_;
    uint64_t limit_;
    uint64_t size_ = 0;
  };
  Result<Writer> create(uint64_t limit_bytes);
  // Read-only, offset 0. kNotFound names the digest.
  [[nodiscard]] Result<UniqueFd> open_blob(const Digest& digest) const;
  void remove(const Digest& digest) const;

 private:
  explicit BlobStore(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;
};

}  // namespace skerry
