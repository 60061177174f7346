// A slot: the expensive parts of a container, made ahead of need by filler and used once by starter.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/unique_fd.h"
#include "os/unix_socket.h"

namespace skerry::sandbox {

struct Slot {
  uint32_t index = 0;
  pid_t pid = -1;           // of the parked container's first process (parked.h)
  UniqueFd process;         // its pidfd
  UniqueFd seat;            // what it waits at: closing it ends the container
  UniqueFd layer_mapping;   // a user namespace used only to map the layers' ids onto the slot's range
  UniqueFd net_namespace;
};

// filler -> starter: index and pid, and the descriptors in the order above. Index 0 carries an error instead.
[[nodiscard]] std::string encode_slot(const Slot& slot);
[[nodiscard]] std::string encode_slot_error(std::string_view error);
Result<Slot> decode_slot(Message message);

// starter -> filler: that many slots more. Each is answered once, by a slot; after an error everything asked for before is forgotten.
[[nodiscard]] std::string encode_want(uint32_t count);
Result<uint32_t> decode_want(std::string_view bytes);

// starter -> reaper: a container that has ended. Index 0: only its files are left (the index may belong to another container by now). An
// empty id: only a control group is left, of a slot or a container whose starter is gone.
struct Dead {
  uint32_t index = 0;
  std::string id;
};
[[nodiscard]] std::string encode_dead(const Dead& dead);
Result<Dead> decode_dead(std::string_view bytes);

}  // namespace skerry::sandbox
