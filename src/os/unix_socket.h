// Unix sockets between Skerry's own processes: SEQPACKET messages that may carry descriptors, and who is at the other end.
//
// A message is at most kMaxMessage bytes and kMaxMessageFds descriptors; anything longer travels as a sealed memfd.
// Received descriptors are close-on-exec and owned by the Message, so an unwanted one is closed, never leaked.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry {

inline constexpr size_t kMaxMessage = 64 * 1024;  // fits the default socket buffers with room for a reply
inline constexpr size_t kMaxMessageFds = 16;

struct Message {
  std::string bytes;
  std::vector<UniqueFd> fds;
};

enum class SocketType { kSeqpacket, kStream };

struct SocketOwner {
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t mode = 0600;
};

// Binds and listens at `path` (a stale socket file there is replaced), then sets owner and mode. Non-blocking.
Result<UniqueFd> listen_unix(const std::string& path, SocketType type, SocketOwner owner, int backlog = 128);
// Connects; the result is blocking unless `set_nonblocking` is called.
Result<UniqueFd> connect_unix(const std::string& path, SocketType type);
Result<std::pair<UniqueFd, UniqueFd>> make_socketpair(SocketType type);

struct PeerCredentials {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};
Result<PeerCredentials> peer_credentials(int fd);

// One message. kUnavailable when the peer is gone; errno EAGAIN (sys_errno()) when a non-blocking socket is full.
Result<void> send_message(int fd, std::string_view bytes, std::span<const int> fds = {});
// kUnavailable on EOF; EAGAIN as above; kProtocol for a truncated or empty message.
Result<Message> receive_message(int fd);

}  // namespace skerry
