#include "sandboxd/slot.h"

#include "base/id.h"
#include "contract/egress.h"
#include "contract/wire.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {
namespace {
constexpr size_t kSlotFds = 4;
constexpr size_t kMaxErrorBytes = 2048;

constexpr char kWantMark = '\xff';

std::string encode_slot_message(uint32_t index, pid_t pid, std::string_view error, std::string_view policy) {
  wire::Writer w;
  w.number(index);
  w.number(static_cast<uint32_t>(pid));
  w.string(error.substr(0, kMaxErrorBytes));
  w.string(policy);
  return w.take();
}
}  // namespace

uint32_t address_of(const Slot& slot, const Settings& settings) { return slot.policy.empty() ? settings.address(slot.index) : settings.held_address(slot.index); }

std::string encode_slot(const Slot& slot) { return encode_slot_message(slot.index, slot.pid, {}, slot.policy); }
std::string encode_slot_error(std::string_view error, std::string_view policy) { return encode_slot_message(0, 0, error, policy); }

Result<std::variant<Slot, NoSlot>> decode_slot(Message message) {
  wire::Reader r(message.bytes);
  Slot slot;
  slot.index = r.number<uint32_t>();
  slot.pid = static_cast<pid_t>(r.number<uint32_t>());
  std::string error = r.string(kMaxErrorBytes);
  slot.policy = r.string(kMaxPolicyBytes);
  TRY(r.finish("slot"));
  if (slot.index == 0) return NoSlot{std::move(slot.policy), "filler: " + error};
  if (message.fds.size() != kSlotFds || slot.index > kMaxSlotIndex || slot.pid <= 1) return fail(ErrorCode::kProtocol, "not a slot");
  slot.process = std::move(message.fds[0]);
  slot.seat = std::move(message.fds[1]);
  slot.layer_mapping = std::move(message.fds[2]);
  slot.net_namespace = std::move(message.fds[3]);
  return slot;
}

std::string encode_want(const Want& want) {
  wire::Writer w;
  w.number(kWantMark);
  w.number(want.count);
  w.string(want.policy);
  return w.take();
}

bool is_want(std::string_view bytes) { return bytes.starts_with(kWantMark); }

Result<Want> decode_want(std::string_view bytes) {
  wire::Reader r(bytes);
  if (r.number<char>() != kWantMark) r.fail_now();
  Want want;
  want.count = r.number<uint32_t>();
  want.policy = r.string(kMaxPolicyBytes);
  TRY(r.finish("slot request"));
  // SECURITY: the text becomes rules of the host's firewall; nothing but a policy gets there.
  TRY(EgressPolicy::decode(want.policy));
  return want;
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
