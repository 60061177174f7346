#include "runtime/freezer.h"

#include <unistd.h>

namespace skerry {
namespace {
constexpr size_t kStateBytes = 16;  // FREEZING and its line break fit
}  // namespace

Result<Freezer> Freezer::of(UniqueFd fd) {
  char text[kStateBytes];
  const ssize_t n = ::pread(fd.get(), text, sizeof text, 0);
  if (n < 0) return fail_errno("state of a freezer");
  const std::string_view state(text, static_cast<size_t>(n));
  Freezer freezer;
  freezer.fd_ = std::move(fd);
  if (state == "THAWED\n" || state == "FREEZING\n" || state == "FROZEN\n") freezer.words_ = {"FROZEN", "THAWED"};
  else if (state == "0\n" || state == "1\n") freezer.words_ = {"1", "0"};
  else return fail(ErrorCode::kProtocol, "`{}` is no state of a freezer", state);
  return freezer;
}

Result<void> Freezer::write(std::string_view word) {
  if (!fd_) return fail(ErrorCode::kUnavailable, "no freezer");
  if (::pwrite(fd_.get(), word.data(), word.size(), 0) != static_cast<ssize_t>(word.size())) return fail_errno("write {} to a freezer", word);
  return {};
}

}  // namespace skerry
