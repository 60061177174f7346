#include "daemon/inherited.h"

#include <fcntl.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace skerry {

Result<std::map<std::string, UniqueFd>> take_inherited_descriptors() {
  std::map<std::string, UniqueFd> out;
  const char* variable = std::getenv("SKERRY_FDS");
  std::string_view rest = variable != nullptr ? variable : "";
  while (!rest.empty()) {
    const std::string_view entry = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(entry.size() + 1, rest.size()));
    const size_t equals = entry.find('=');
    int fd = -1;
    if (equals != std::string_view::npos) std::from_chars(entry.data() + equals + 1, entry.data() + entry.size(), fd);
    if (fd < 3 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return fail(ErrorCode::kInvalidArgument, "SKERRY_FDS: `{}` is not name=descriptor", entry);
    out[std::string(entry.substr(0, equals))] = UniqueFd(fd);
  }
  ::unsetenv("SKERRY_FDS");
  return out;
}

}  // namespace skerry
