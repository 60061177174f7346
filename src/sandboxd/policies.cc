#include "sandboxd/policies.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <vector>

#include "os/file.h"

namespace skerry::sandbox {
namespace {

constexpr std::string_view kAlias = "policy-";

uint32_t number_in(std::string_view text) {
  uint32_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && number <= Policies::kMaxPolicies ? number : 0;
}

// The number that an interface's alias names, 0 for none.
uint32_t number_of(const std::string& interface) {
  const auto alias = read_file("/sys/class/net/" + interface + "/ifalias", 512);
  if (!alias) return 0;
  std::string_view text(*alias);
  while (text.ends_with('\n')) text.remove_suffix(1);
  return text.starts_with(kAlias) ? number_in(text.substr(kAlias.size())) : 0;
}

bool has_interface(const std::string& name) { return ::if_nametoindex(name.c_str()) != 0; }

}  // namespace

Policies::Policies(const Settings& settings, const Logger& logger) : Policies(settings, logger, {run_nft, has_interface}) {}

uint32_t address_of_live(uint32_t index, const Settings& settings) {
  return number_of(settings.interface_name(index)) == 0 ? settings.address(index) : settings.held_address(index);
}

void Policies::remove_file(uint32_t number) const { ::unlink(fmt::format("{}/{}", folder(), number).c_str()); }

Result<HeldSlots> Policies::restore() {
  TRY(make_directories(folder(), 0700));
  HeldSlots held;
  const std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> names(::if_nameindex(), ::if_freenameindex);
  for (const auto* entry = names.get(); entry != nullptr && entry->if_index != 0; ++entry) {
    const std::string name(entry->if_name);
    if (!name.starts_with(settings_.interface_prefix())) continue;
    const uint32_t number = number_of(name);
    uint32_t index = 0;
    const char* digits = name.data() + settings_.interface_prefix().size();
    std::from_chars(digits, name.data() + name.size(), index);
    if (number == 0 || index == 0 || index > kMaxSlotIndex) continue;
    const auto bytes = read_file(fmt::format("{}/{}", folder(), number), kMaxPolicyBytes);
    auto policy = bytes ? EgressPolicy::decode(*bytes) : fail(ErrorCode::kNotFound, "{}", bytes.error().message());
    if (!policy || policy->empty()) {
      lost_.insert(number);
      logger_.error("a container's egress policy is lost: it reaches nothing any more", {{"interface", name}});
      continue;
    }
    held.policies.emplace(number, std::move(*policy));
    held.slots.emplace(index, number);
    policies_[number].encoded = *bytes;
    ++policies_[number].slots;
    numbers_[*bytes] = number;
    elements_[index] = {number};
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> files(::opendir(folder().c_str()), ::closedir);
  while (const dirent* file = files ? ::readdir(files.get()) : nullptr)
    if (const uint32_t number = number_in(file->d_name); number != 0 && !policies_.contains(number)) remove_file(number);
  return held;
}

// No fsync: after a power cut there is no container either.
Result<void> Policies::write_file(uint32_t number, const std::string& policy) const {
  TRY_ASSIGN(const UniqueFd directory, open_at(AT_FDCWD, folder(), O_RDONLY | O_DIRECTORY));
  {
    TRY_ASSIGN(const UniqueFd fd, open_at(directory.get(), "new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
    TRY(write_all(fd.get(), policy));
  }
  const std::string name = std::to_string(number);
  if (::renameat(directory.get(), "new", directory.get(), name.c_str()) != 0) return fail_errno("rename to `{}`", name);
  return {};
}

// The number of the policy's chain; the commands that make the chain where there is none.
Result<uint32_t> Policies::number_for(const std::string& policy, std::string& commands) {
  if (const auto known = numbers_.find(policy); known != numbers_.end()) return known->second;
  if (policies_.size() >= kMaxPolicies) {
    looked_at_ = 0;
    do sweep();
    while (looked_at_ != 0);
  }
  if (policies_.size() >= kMaxPolicies) return fail(ErrorCode::kNoCapacity, "{} different [egress] policies are in use, the most there may be at once", kMaxPolicies);
  uint32_t number = 1;
  while (policies_.contains(number) || lost_.contains(number)) ++number;
  if (number > kMaxPolicies) return fail(ErrorCode::kNoCapacity, "no number is free for an [egress] policy");
  TRY_ASSIGN(const EgressPolicy decoded, EgressPolicy::decode(policy));
  TRY(write_file(number, policy), "keep an egress policy");
  commands += fmt::format("add chain inet {} {} {{\n{}}}\n", settings_.tag, policy_chain(number), policy_rules(decoded, settings_.open));
  return number;
}

Result<std::string> Policies::admit(uint32_t index, const std::string& policy) {
  std::string commands;
  TRY_ASSIGN(const uint32_t number, number_for(policy, commands));
  const auto before = elements_.find(index);
  if (before != elements_.end()) commands += fmt::format("delete element inet {} policies {{ {} }}\n", settings_.tag, address_text(settings_.held_address(index)));
  commands += fmt::format("add element inet {} policies {{ {} }}\n", settings_.tag, policy_element(settings_, index, number));
  if (auto done = machine_.run_nft(commands); !done) {
    if (!policies_.contains(number)) remove_file(number);
    return pass(std::move(done).error(), "egress policy");
  }
  if (before != elements_.end()) --policies_.at(before->second.number).slots;
  elements_[index] = {number};
  policies_[number].encoded = policy;
  ++policies_[number].slots;
  numbers_[policy] = number;
  return fmt::format("{}{}", kAlias, number);
}

void Policies::leave(uint32_t index) {
  if (const auto element = elements_.find(index); element != elements_.end()) element->second.gone = true;
}

void Policies::sweep() {
  std::vector<uint32_t> gone;
  auto next = elements_.lower_bound(looked_at_);
  for (size_t looked = 0; looked < kLookedAtInASweep && next != elements_.end(); ++looked, ++next)
    if (next->second.gone || !machine_.has_interface(settings_.interface_name(next->first))) gone.push_back(next->first);
  looked_at_ = next == elements_.end() ? 0 : next->first;
  std::map<uint32_t, size_t> less;
  std::string commands;
  for (const uint32_t index : gone) {
    commands += fmt::format("delete element inet {} policies {{ {} }}\n", settings_.tag, address_text(settings_.held_address(index)));
    ++less[elements_.at(index).number];
  }
  std::vector<uint32_t> unused;
  for (const auto& [number, policy] : policies_)
    if (const auto it = less.find(number); policy.slots == (it == less.end() ? 0 : it->second)) unused.push_back(number);
  for (const uint32_t number : unused) commands += fmt::format("delete chain inet {} {}\n", settings_.tag, policy_chain(number));
  if (commands.empty()) return;
  if (auto done = machine_.run_nft(commands); !done) return logger_.warn("egress policies that nobody has are still in the firewall", {{"error", done.error().message()}});
  for (const uint32_t index : gone) elements_.erase(index);
  for (const auto& [number, count] : less) policies_.at(number).slots -= count;
  for (const uint32_t number : unused) {
    numbers_.erase(policies_.at(number).encoded);
    policies_.erase(number);
    remove_file(number);
  }
}

}  // namespace skerry::sandbox
