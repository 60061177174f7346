#include "cli/secret_input.h"

#include <termios.h>
#include <unistd.h>

#include "os/file.h"

namespace skerry::cli {
namespace {

// Echo off for its lifetime. Signals from the keyboard are off as well, so that Ctrl-C cannot leave the
// terminal silent: it arrives as a character.
class EchoOff {
 public:
  EchoOff() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);
    quiet.c_lflag |= ICANON | ECHONL;
    active_ = ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0;
  }
  ~EchoOff() {
    if (active_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  EchoOff(const EchoOff&) = delete;
  EchoOff& operator=(const EchoOff&) = delete;

 private:
  termios before_{};
  bool active_ = false;
};

void drop_newline(std::string& text) {
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
}

}  // namespace

Outcome<std::string> read_hidden(const Terminal& terminal, const std::string& prompt, size_t max_bytes) {
  if (::isatty(STDIN_FILENO) != 1) return read_value_file("-", max_bytes, NewlineAtEnd::kDropOne);
  std::string line;
  {
    const EchoOff quiet;  // before the prompt: switching it off throws away what was typed until then
    terminal.status(prompt);
    char c = 0;
    while (::read(STDIN_FILENO, &c, 1) == 1 && c != '\n') {
      if (c == 0x03) return std::unexpected(Failure(Exit::kFailed, "cancelled", "nothing was set"));
      if (line.size() >= max_bytes)
        return std::unexpected(
            Failure(Exit::kLimit, "too_large", fmt::format("the value is over {} bytes", max_bytes)));
      line += c;
    }
  }
  terminal.clear_status();
  return line;
}

Outcome<std::string> read_value_file(const std::string& path, size_t max_bytes, NewlineAtEnd newline) {
  auto text = path == "-" ? read_all(STDIN_FILENO, max_bytes + 2) : read_file(path, max_bytes + 2);
  if (!text) {
    const Exit exit = text.error().code() == ErrorCode::kTooLarge ? Exit::kLimit : Exit::kUsage;
    return std::unexpected(
        Failure(exit, std::string(to_string(text.error().code())), text.error().message()));
  }
  if (newline == NewlineAtEnd::kDropOne) drop_newline(*text);
  if (text->size() > max_bytes)
    return std::unexpected(
        Failure(Exit::kLimit, "too_large",
                fmt::format("the value has {} bytes, and {} is the most", text->size(), max_bytes)));
  return std::move(*text);
}

}  // namespace skerry::cli
