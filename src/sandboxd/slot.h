// A slot: the expensive parts of a container, made ahead of need by filler and used once by starter.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "os/unix_socket.h"

namespace skerry::sandbox {

struct Slot {
  uint32_t index = 0;
  UniqueFd user_namespace;   // 0..65535 inside -> slot_id_base(index)
  UniqueFd layer_mapping;    // a user namespace used only to map the layers' ids onto the slot's range
  UniqueFd net_namespace;
  std::vector<UniqueFd> tasks;  // of its cgroups: write "0" and the writer is in
};

// filler -> starter: the index, and the descriptors in the order above. Index 0 carries an error instead.
[[nodiscard]] std::string encode_slot(uint32_t index, std::string_view error = {});
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
