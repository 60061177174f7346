// starter: the hot path of sandboxd. Takes plans from edge and control, makes containers in ready slots, tells what becomes of them.
//
// Root, one thread. Takes no rtnl lock and commits no nft transaction; slots come from filler, leftovers go to reaper. Every message is checked
// here again, whoever sent it. State that must outlive this process is in <run_dir>/instances/<id>.state; the containers are its truth.
// In four files: starter.cc makes containers, starter_spares.cc keeps runtimes ready and turns them into instances, starter_clients.cc talks to edge
// and control, starter_ends.cc says what became of containers.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "contract/sandbox_messages.h"
#include "os/unix_socket.h"
#include "sandboxd/cgroups.h"
#include "sandboxd/container.h"
#include "sandboxd/mounts.h"
#include "sandboxd/plan_rules.h"
#include "sandboxd/poller.h"
#include "sandboxd/scratch_pool.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

class Starter {
 public:
  static constexpr size_t kPoolTarget = 12;      // slots kept ready
  static constexpr size_t kMaxEnded = kPoolTarget;  // that one start survives: all that waited may have been killed at once
  static constexpr size_t kMaxPool = 64;         // .. and asked for while starts wait
  // Of slots with an egress policy: kept ready for each policy that edge named, the first of them first, up to so many together. For the others one
  // is made when a start waits for it.
  static constexpr size_t kPolicyTarget = 2, kMaxPolicySlots = 32;
  static constexpr size_t kMaxWaiting = 1024;    // starts that wait for a slot
  static constexpr Duration kSlotTime = std::chrono::seconds(10);
  static constexpr Duration kAskAgainAfter = std::chrono::milliseconds(100);
  static constexpr Duration kThawAgainAfter = std::chrono::milliseconds(50);  // a container that was killed and still is there
  static constexpr size_t kMaxContainers = 10'000;
  // Descriptors: what one container keeps open here, and what everything else (slots, clients, waiting starts) may use at most.
  static constexpr size_t kDescriptorsPerContainer = 8;
  static constexpr size_t kOtherDescriptors = 4096;
  static constexpr size_t kMaxClients = 256;    // edge, and one for each of control's jobs
  static constexpr size_t kMaxQueued = 1024;    // messages that a client has not taken yet
  static constexpr size_t kMaxListings = 64;    // List requests in progress on one connection
  static constexpr size_t kMaxUnreaped = 20'000;  // told to reaper when it is back
  static constexpr size_t kMaxSpares = 64;      // of all kinds together
  static constexpr size_t kMaxSpareList = 4U << 20;
  static constexpr size_t kMaxPolicyList = kMaxPolicyOrders * (kMaxPolicyBytes + 4) + 4;
  static constexpr Duration kSpareTime = std::chrono::seconds(20);  // for a spare's runtime to come up
  // After one was used: the new instance has the machine to itself while it answers its first request.
  static constexpr Duration kSpareRest = std::chrono::milliseconds(100);
  static constexpr Duration kFirstSparePause = std::chrono::seconds(1), kLastSparePause = std::chrono::minutes(1);  // after one that did not
  static constexpr size_t kSocketsWithStart = 4, kMaxMoreSockets = 8;

  Starter(const Settings& settings, const Logger& logger)
      : settings_(settings),
        logger_(logger),
        mounts_(settings),
        scratch_(poller_, [this] { return connect_at_once(settings_.run_dir + "/filler.sock"); },
                 [this](uint64_t bytes, const Result<void>& made) { on_scratch(bytes, made); }) {}

  Result<void> prepare(UniqueFd listener);
  // Until SIGTERM. Containers stay.
  void run(const volatile bool& stop);

 private:
  struct Outgoing {
    std::string bytes;
    std::vector<UniqueFd> fds;
  };
  // A List in progress: sent as fast as the client reads, whatever the number of instances.
  struct Listing {
    uint64_t request;
    std::deque<std::string> ids;
  };
  struct Client {
    UniqueFd fd;
    Role role;
    std::deque<Outgoing> queue;
    std::deque<Listing> listings;
  };
  struct Waiting {
    int client;
    uint64_t request;
    StartPlan plan;
    std::vector<UniqueFd> fds;
    TimePoint since;
    UniqueFd disk{};   // its scratch disk, once there is one
    size_t ended = 0;  // containers under it, before it ran
    std::string policy{};  // the plan's, encoded
  };
  struct Container {
    std::string id;
    std::string label;
    PlanKind kind = PlanKind::kInstance;
    int client = -1;  // who asked for it, while that connection lasts; a job ends with it
    uint32_t index = 0;
    uint32_t address = 0;
    uint64_t request = 0;
    Launched process;
    UniqueFd net_namespace;
    UniqueFd out, err, status, cpu;  // kept, to give them to an edge that restarts
    // With secrets, the read ends that keeper has too: while they are open, a program that prints after keeper died is not told so by EPIPE.
    UniqueFd program_out, program_err;
    UniqueFd memory;                 // readable when the kernel runs out of its memory (cgroup v1)
    bool out_of_memory = false;
    Transport transport = Transport::kNone;
    bool running = false;
    bool failed = false;
    bool has_pipes = false;
    Report last;
    uint32_t slot_us = 0, mount_us = 0;
    TimePoint launched_at{};
    // While it is a spare: what kind, and what it takes to make an instance of it.
    std::string spare_kind;
    bool prestarted = false;  // it was one
    // What it is to become, until it has: a parked container or a spare that ends before costs a slow start and nothing else.
    std::optional<Waiting> retry;
    bool executed = false;
    Slot slot;
    UniqueFd top, assignment;
  };
  // What KeepSpares asked for. Spares of equal plans are equal.
  struct SpareKind {
    StartPlan plan;
    std::string policy;  // the plan's, encoded
    size_t wanted = 0;
    std::deque<std::string> ready;  // ids
    std::string starting;           // the id of the one that comes up, if any
    TimePoint not_before{};
    Duration pause = kFirstSparePause;
  };
  // Slots of one policy.
  struct Pool {
    std::deque<Slot> ready;
    size_t target = 0;           // .. that edge named
    size_t asked = 0;            // of filler, and not yet come
    TimePoint ask_again_at{};    // after filler failed
    std::string error{};
  };
  void accept_client();
  void read_client(int fd);
  void drop_client(int fd);
  void handle(Client& client, ClientMessage message, std::vector<UniqueFd> fds);
  void on_start(Client& client, const Start& start, std::vector<UniqueFd> fds);
  Result<StartPlan> read_plan(const Client& client, const std::vector<UniqueFd>& fds);
  void make_container(Waiting start, Slot slot);
  std::optional<Slot> take_slot(const std::string& policy);
  // `phase` is the step that an error belongs to, by the words of StartFailed.
  Result<void> make_container_in(Slot slot, Waiting& start, Container& container, const char*& phase);
  Result<ProgramFds> make_program_descriptors(const Waiting& start, Container& container, std::vector<UniqueFd>& program_ends);
  // keeper writes the secrets to `environment`. The container's `out` and `err` are then what keeper lets through.
  Result<void> deliver_secrets(Container& container, int sealed, int environment);
  void watch(Container& container);
  void send_started(Container& container);
  // What edge gets of an instance, in the order of Started; `made` holds those that are made for it. None of a job, or of one adopted without its pipes.
  std::vector<int> instance_descriptors(const Container& container, std::vector<UniqueFd>& made);
  Result<std::vector<UniqueFd>> make_sockets(const Container& container, size_t count);
  Result<void> keep_spares(const Client& client, const std::vector<UniqueFd>& fds);
  void make_spares();
  [[nodiscard]] std::chrono::milliseconds spares_rest() const;  // until make_spares() may have something to do, a second at most
  Result<void> make_spare(SpareKind& kind, const std::string& key, Slot slot, UniqueFd disk);
  void on_spare_status(const std::string& id);
  void on_spare_exit(Container& container);
  // True when a spare is to become it; `start` is taken then.
  bool start_from_spare(Waiting& start);
  // Of a container that ended before it became what it was to.
  void boot_instead(Container& container);
  Result<void> become(Waiting& start, Container& container);
  void drop_spare(const std::string& id);
  [[nodiscard]] size_t spares() const;
  void remove_files(const std::string& id);
  [[nodiscard]] std::string socket_path(const std::string& id) const;
  void on_report(const std::string& id);
  void on_exit(const std::string& id);
  void on_out_of_memory(const std::string& id);
  void kill_container(Container& container);
  // SECURITY: edge may have frozen one after it was killed, by mistake or not; on cgroup v1 such a container would stay for ever.
  void thaw_killed();
  void adopt();
  void list(Client& client, uint64_t request);
  void send(int client, const StarterMessage& message, std::span<const int> fds = {});
  // Sends what a client did not take before, then what its listings still owe it.
  void pump(int client);
  bool pump_listing(Client& client);
  void give_up_on(int client, const Error& error);
  [[nodiscard]] int edge() const;
  // Who is told of it: who asked for it; an instance whose edge restarted belongs to the new one. -1: nobody.
  [[nodiscard]] int recipient(const Container& container) const;
  void fail_start(const Waiting& start, std::string_view phase, const Error& error);
  Result<void> keep_policies(const Client& client, const std::vector<UniqueFd>& fds);
  void want_slots();
  // How many slots there should be of each policy now.
  [[nodiscard]] std::map<std::string_view, size_t> wanted_slots() const;
  void drop_slot(Slot slot);
  void read_filler();
  void serve_waiting();
  [[nodiscard]] static bool lacks_disk(const Waiting& start) { return start.plan.limits.scratch == Scratch::kDisk && !start.disk; }
  void give_disks();
  void on_scratch(uint64_t bytes, const Result<void>& made);
  // Index 0: only files are left. An empty id: only a control group is left.
  void tell_reaper(uint32_t index, const std::string& id);
  void send_unreaped();
  // Connects or fails at once: a process that hangs with a full queue of connections must not hang this one.
  static Result<UniqueFd> connect_at_once(const std::string& path);
  [[nodiscard]] TimePoint now() const { return clock_.now(); }
  static uint32_t us_between(TimePoint from, TimePoint to) {
    return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(to - from).count());
  }

  const Settings& settings_;
  const Logger& logger_;
  SystemClock clock_;
  Mounts mounts_;
  std::unique_ptr<Cgroups> cgroups_;
  UniqueFd nothing_;  // /dev/null, standard input of instances
  Poller poller_;
  UniqueFd listener_;
  UniqueFd filler_;
  UniqueFd reaper_;
  std::deque<std::string> unreaped_;
  size_t max_containers_ = kMaxContainers;
  std::unordered_map<int, Client> clients_;
  std::map<std::string, Container> containers_;
  std::map<std::string, Pool, std::less<>> pools_;  // by the encoded policy; "" is always there
  ScratchPool scratch_;
  std::map<std::string, SpareKind> spare_kinds_;  // by the encoded plan
  std::deque<Waiting> waiting_;
  std::set<std::string> killed_;  // ids, until they have ended
  TimePoint thaw_again_at_{};
};

}  // namespace skerry::sandbox
