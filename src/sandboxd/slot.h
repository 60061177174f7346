// A slot: the expensive parts of a container, made ahead of need by filler and used once by starter.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <variant>

#include "base/unique_fd.h"
#include "os/unix_socket.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

struct Slot {
  uint32_t index = 0;
  pid_t pid = -1;           // of the parked container's first process (parked.h)
  UniqueFd process;         // its pidfd
  UniqueFd seat;            // what it waits at: closing it ends the container
  UniqueFd layer_mapping;   // a user namespace used only to map the layers' ids onto the slot's range
  UniqueFd net_namespace;
  std::string policy;       // encoded: what its address may reach; "" for the internet
};

// Of its end of the link to the host.
[[nodiscard]] uint32_t address_of(const Slot& slot, const Settings& settings);

// filler -> starter: index, pid and policy, and the descriptors in the order above. Index 0 carries an error instead, for slots of that policy.
[[nodiscard]] std::string encode_slot(const Slot& slot);
[[nodiscard]] std::string encode_slot_error(std::string_view error, std::string_view policy);
// A slot, or for which policy there is none, and why.
struct NoSlot {
  std::string policy;
  std::string error;
};
Result<std::variant<Slot, NoSlot>> decode_slot(Message message);

// starter -> filler: that many slots more of one policy. Each is answered once, by a slot; after an error everything asked for that policy before is
// forgotten. The first byte is no layer request's.
struct Want {
  uint32_t count = 0;
  std::string policy;
};
[[nodiscard]] std::string encode_want(const Want& want);
[[nodiscard]] bool is_want(std::string_view bytes);
Result<Want> decode_want(std::string_view bytes);

// starter -> reaper: a container that has ended. Index 0: only its files are left (the index may belong to another container by now). An
// empty id: only a control group is left, of a slot or a container whose starter is gone.
struct Dead {
  uint32_t index = 0;
  std::string id;
};
[[nodiscard]] std::string encode_dead(const Dead& dead);
Result<Dead> decode_dead(std::string_view bytes);

}  // namespace skerry::sandbox
