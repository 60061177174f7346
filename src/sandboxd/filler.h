// filler: makes slots ahead of need, and layers. Root, one thread; the only role that talks rtnetlink, and nft: at start, and for slots
// with an egress policy.
//
// starter connects for slots (root), control for layers (its uid). Layers are unpacked by skerry-unpack in a user namespace of its own; one at
// a time, while slots go on being made.
#pragma once

#include <linux/filter.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "contract/sandbox_messages.h"
#include "os/unix_socket.h"
#include "sandboxd/cgroups.h"
#include "sandboxd/policies.h"
#include "sandboxd/poller.h"
#include "sandboxd/scratch_image.h"
#include "sandboxd/settings.h"
#include "sandboxd/slot.h"

namespace skerry::sandbox {

class Filler {
 public:
  static constexpr size_t kMaxLayerQueue = 64;
  static constexpr uint64_t kMaxLayerBytes = 4ULL << 30;
  static constexpr uint32_t kMaxLayerFiles = 500'000;
  static constexpr Duration kUnpackTime = std::chrono::minutes(10);  // control waits half as long; the helper's own limit is on CPU time
  static constexpr size_t kMaxClients = 64;
  static constexpr int kMaxTakenIndexes = 32;  // passed over for one slot
  static constexpr int kEndTimeMs = 1000;      // for a parked container that is not wanted
  static constexpr Duration kLookAtScratchEvery = std::chrono::seconds(1);
  static constexpr uint32_t kMaxWanted = 64;   // slots of one policy that a client may have asked for
  static constexpr Duration kSweepPoliciesEvery = std::chrono::seconds(2);

  Filler(const Settings& settings, const Logger& logger) : settings_(settings), logger_(logger), scratch_(settings), policies_(settings, logger) {}
  Result<void> prepare(UniqueFd listener);
  void run(const volatile bool& stop);

 private:
  struct Client {
    UniqueFd fd;
    bool root;
    std::map<std::string, uint32_t> wanted;  // by policy, encoded; none is 0
    std::string served;                      // the policy of the last slot that was made: the others have their turn
  };
  struct Job {
    int client;
    UnpackLayer request;
    UniqueFd archive;
  };
  struct Unpacking {
    Job job;
    std::string temporary;
    pid_t pid = -1;
    UniqueFd pidfd;
    UniqueFd result;
    TimePoint deadline{};
  };

  Result<void> probe();
  void accept_client();
  void read_client(int fd);
  void drop_client(int fd);
  void on_want(Client& client, Want want);
  void make_one_slot();
  Result<Slot> make_slot(const std::string& policy);
  Result<Slot> make_slot_at(uint32_t index, const std::string& policy);
  Result<uint32_t> free_index();
  Result<void> make_network(const Slot& slot, const std::string& alias);
  void end_slot(Slot& slot);
  void reap_children();
  void make_scratch(int client, uint64_t bytes);
  void on_layer_request(int fd, LayerRequest request, std::vector<UniqueFd> fds);
  Result<void> remove_unfinished_layers();
  void start_next_unpack();
  Result<void> start_unpack(Job job);
  void end_late_unpack();
  void finish_unpack();
  void answer(int client, const LayerDone& done);
  [[nodiscard]] LayerDone look_up(const std::string& digest, const std::string* subfolder) const;

  const Settings& settings_;
  const Logger& logger_;
  SystemClock clock_;
  std::unique_ptr<Cgroups> cgroups_;
  Poller poller_;
  UniqueFd listener_;
  UniqueFd unpack_program_;
  std::vector<sock_filter> filter_;
  uint32_t mtu_ = 1500;
  uint32_t next_index_ = 0;
  ScratchImages scratch_;
  TimePoint scratch_seen_at_{};
  Policies policies_;
  TimePoint policies_swept_at_{};
  std::unordered_map<int, Client> clients_;
  std::deque<Job> layer_queue_;
  std::unique_ptr<Unpacking> unpacking_;
};

}  // namespace skerry::sandbox
