#include "sandboxd/sealed.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace skerry::sandbox {

Result<void> check_sealed(int fd) {
  constexpr int kWanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kWanted) != kWanted) return fail(ErrorCode::kProtocol, "not a sealed memfd");
  return {};
}

Result<std::string> read_sealed(int fd, size_t max_bytes) {
  TRY(check_sealed(fd));
  struct stat st {};
  if (::fstat(fd, &st) != 0) return fail_errno("fstat");
  const auto size = static_cast<size_t>(st.st_size);
  if (size > max_bytes) return fail(ErrorCode::kTooLarge, "{} bytes (limit {})", size, max_bytes);
  std::string bytes(size, '\0');
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::pread(fd, bytes.data() + done, size - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? fail_errno("read") : fail(ErrorCode::kProtocol, "ended early");
    done += static_cast<size_t>(n);
  }
  return bytes;
}

}  // namespace skerry::sandbox
