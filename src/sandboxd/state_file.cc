#include "sandboxd/state_file.h"

#include <dirent.h>
#include <fcntl.h>

#include <charconv>
#include <memory>
#include <sstream>

#include "base/id.h"
#include "os/file.h"

namespace skerry::sandbox {
namespace {

constexpr std::string_view kVersion = "skerry-instance-1";
constexpr size_t kMaxStateBytes = 4096;

// Field 22 of /proc/PID/stat; the name in field 2 may hold spaces and parentheses, so fields are counted from the last ')'.
uint64_t start_time_of(pid_t pid) {
  const auto text = read_file(fmt::format("/proc/{}/stat", pid), 16384);
  if (!text) return 0;
  const size_t close = text->rfind(')');
  if (close == std::string::npos) return 0;
  std::istringstream fields(text->substr(close + 1));
  std::string field;
  for (int number = 3; number <= 22 && fields >> field; ++number)
    if (number == 22) {
      uint64_t value = 0;
      std::from_chars(field.data(), field.data() + field.size(), value);
      return value;
    }
  return 0;
}

}  // namespace

Result<void> write_state(InstanceState state, const Settings& settings) {
  TRY_ASSIGN(const UniqueFd directory, open_at(AT_FDCWD, settings.instances_dir(), O_RDONLY | O_DIRECTORY));
  const std::string text = fmt::format("{} {} {} {} {} {}\n", kVersion, state.index, state.pid, start_time_of(state.pid), static_cast<int>(state.transport), state.label);
  // No fsync: after a power cut there is no instance either.
  TRY_ASSIGN(const UniqueFd fd, open_at(directory.get(), state.id + ".state", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  return write_all(fd.get(), text);
}

std::set<std::string> instance_ids(const Settings& settings) {
  std::set<std::string> out;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(settings.instances_dir().c_str()), ::closedir);
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
    const std::string_view name(entry->d_name);
    const std::string id(name.substr(0, name.find('.')));
    if ((name.ends_with(".state") || name.ends_with(".sock")) && is_ulid(id)) out.insert(id);
  }
  return out;
}

std::vector<InstanceState> read_states(const Settings& settings) {
  std::vector<InstanceState> out;
  for (const std::string& id : instance_ids(settings)) {
    const auto text = read_file(settings.instances_dir() + "/" + id + ".state", kMaxStateBytes);
    if (!text) continue;
    std::istringstream fields(*text);
    std::string version;
    InstanceState state;
    int transport = 0;
    if (!(fields >> version >> state.index >> state.pid >> state.start_time >> transport) || version != kVersion || fields.get() != ' ') continue;
    // The rest but the last newline, whatever bytes it has. A file without that newline was cut short.
    std::getline(fields, state.label, '\0');
    if (!state.label.ends_with('\n')) continue;
    state.label.pop_back();
    if (state.index == 0 || state.index > kMaxSlotIndex || state.pid <= 1 || transport < 0 || transport > 2) continue;
    state.transport = static_cast<Transport>(transport);
    state.id = id;
    out.push_back(std::move(state));
  }
  return out;
}

bool is_same_process(const InstanceState& state) { return state.start_time != 0 && start_time_of(state.pid) == state.start_time; }

}  // namespace skerry::sandbox
