#include "sandboxd/slot.h"

#include "base/id.h"
#include "contract/wire.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {
namespace {
constexpr size_t kNamespaceFds = 3;
constexpr size_t kMaxErrorBytes = 2048;
}

std::string encode_slot(uint32_t index, std::string_view error) {
  wire::Writer w;
  w.number(index);
  w.string(error.substr(0, kMaxErrorBytes));
  return w.take();
}

Result<Slot> decode_slot(Message message) {
  wire::Reader r(message.bytes);
  Slot slot;
  slot.index = r.number<uint32_t>();
  const std::string error = r.string(kMaxErrorBytes);
  TRY(r.finish("slot"));
  if (slot.index == 0) return fail(ErrorCode::kNoCapacity, "filler: {}", error);
  if (message.fds.size() < kNamespaceFds || slot.index > kMaxSlotIndex) return fail(ErrorCode::kProtocol, "not a slot");
  slot.user_namespace = std::move(message.fds[0]);
  slot.layer_mapping = std::move(message.fds[1]);
  slot.net_namespace = std::move(message.fds[2]);
  for (size_t i = kNamespaceFds; i < message.fds.size(); ++i) slot.tasks.push_back(std::move(message.fds[i]));
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
