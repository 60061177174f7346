#include "sandboxd/slot.h"

#include "base/id.h"
#include "contract/wire.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {
namespace {
constexpr size_t kSlotFds = 4;
constexpr size_t kMaxErrorBytes = 2048;

std::string encode_slot_message(uint32_t index, pid_t pid, std::string_view error) {
  wire::Writer w;
  w.number(index);
  w.number(static_cast<uint32_t>(pid));
  w.string(error.substr(0, kMaxErrorBytes));
  return w.take();
}
}  // namespace

std::string encode_slot(const Slot& slot) { return encode_slot_message(slot.index, slot.pid, {}); }
std::string encode_slot_error(std::string_view error) { return encode_slot_message(0, 0, error); }

Result<Slot> decode_slot(Message message) {
  wire::Reader r(message.bytes);
  Slot slot;
  slot.index = r.number<uint32_t>();
  slot.pid = static_cast<pid_t>(r.number<uint32_t>());
  const std::string error = r.string(kMaxErrorBytes);
  TRY(r.finish("slot"));
  if (slot.index == 0) return fail(ErrorCode::kNoCapacity, "filler: {}", error);
  if (message.fds.size() != kSlotFds || slot.index > kMaxSlotIndex || slot.pid <= 1) return fail(ErrorCode::kProtocol, "not a slot");
  slot.process = std::move(message.fds[0]);
  slot.seat = std::move(message.fds[1]);
  slot.layer_mapping = std::move(message.fds[2]);
  slot.net_namespace = std::move(message.fds[3]);
  return slot;
}

std::string encode_want(uint32_t count) {
  wire::Writer w;
  w.number(count);
  return w.take();
}

Result<uint32_t> decode_want(std::string_view bytes) {
  wire::Reader r(bytes);
  const auto count = r.number<uint32_t>();
  TRY(r.finish("slot request"));
  return count;
}

std::string encode_dead(const Dead& dead) {
  wire::Writer w;
  w.number(dead.index);
  w.string(dead.id);
  return w.take();
}

Result<Dead> decode_dead(std::string_view bytes) {
  wire::Reader r(bytes);
  Dead dead;
  dead.index = r.number<uint32_t>();
  dead.id = r.string(26);
  TRY(r.finish("dead container"));
  if (dead.index > kMaxSlotIndex || (!dead.id.empty() && !is_ulid(dead.id)) || (dead.index == 0 && dead.id.empty()))
    return fail(ErrorCode::kProtocol, "not a container");
  return dead;
}

}  // namespace skerry::sandbox
