#include "sandboxd/scratch_pool.h"

#include <cerrno>

#include <algorithm>

#include "os/unix_socket.h"
#include "sandboxd/scratch_image.h"

namespace skerry::sandbox {

UniqueFd ScratchPool::take(uint64_t bytes) {
  const auto found = std::find_if(ready_.begin(), ready_.end(), [&](const Ready& r) { return r.bytes == bytes; });
  if (found == ready_.end()) return {};
  UniqueFd mount = std::move(found->mount);
  ready_.erase(found);
  want(bytes, 1);
  return mount;
}

void ScratchPool::want(uint64_t bytes, size_t count) {
  const auto ready = std::count_if(ready_.begin(), ready_.end(), [&](const Ready& r) { return r.bytes == bytes; });
  const auto coming = std::count(asked_.begin(), asked_.end(), bytes);
  if (static_cast<size_t>(ready + coming) >= count) return;
  if (!filler_) {
    auto connection = connect_();
    if (!connection) return;
    filler_ = std::move(*connection);
    (void)poller_.add(filler_.get(), [this] { on_answer(); });
  }
  for (size_t missing = count - static_cast<size_t>(ready + coming); missing > 0 && asked_.size() < kMaxAsked; --missing) {
    if (!send_message(filler_.get(), encode_want_scratch(bytes))) return;
    asked_.push_back(bytes);
  }
}

bool ScratchPool::drop_ready() {
  const bool some = !ready_.empty();
  ready_.clear();
  return some;
}

void ScratchPool::on_answer() {
  auto received = receive_message(filler_.get());
  if (!received && received.error().sys_errno() == EAGAIN) return;
  if (!received || asked_.empty()) {
    poller_.remove(filler_.get());
    filler_.reset();
    asked_.clear();
    return;
  }
  const uint64_t bytes = asked_.front();
  asked_.pop_front();
  if (received->bytes != kScratchMade || received->fds.size() != 1) return answered_(bytes, fail(ErrorCode::kNoCapacity, "{}", received->bytes));
  ready_.push_back({bytes, std::move(received->fds[0])});
  answered_(bytes, {});
  if (ready_.size() > kMaxReady) ready_.pop_front();
}

}  // namespace skerry::sandbox
