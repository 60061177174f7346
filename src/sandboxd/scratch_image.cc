#include "sandboxd/scratch_image.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <memory>

#include "contract/plan.h"
#include "contract/wire.h"
#include "os/file.h"
#include "os/process.h"
#include "sandboxd/mount_calls.h"

namespace skerry::sandbox {
namespace {

constexpr int kImageFd = 3;  // of mke2fs
constexpr const char* kMkfs[] = {"/usr/sbin/mke2fs", "/sbin/mke2fs"};
constexpr uint64_t kSectorBytes = 512;
constexpr auto kBytesPerInode = "16384";

// Every feature by name, so that the machine's mke2fs.conf changes nothing. No journal: what is written here never outlives a crash.
constexpr const char* kFeatures =
    "none,extents,dir_index,filetype,sparse_super,large_file,huge_file,flex_bg,extra_isize,64bit,dir_nlink,ext_attr,uninit_bg";

Result<void> format(int image) {
  SpawnOptions options;
  for (const char* program : kMkfs)
    if (options.argv.empty() && ::access(program, X_OK) == 0) options.argv = {program};
  if (options.argv.empty()) return fail(ErrorCode::kUnavailable, "mke2fs is not installed (Debian: e2fsprogs)");
  for (const char* a : {"-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0", "-i", kBytesPerInode, "-O", kFeatures, "-E", "lazy_itable_init=1,nodiscard"})
    options.argv.emplace_back(a);
  options.argv.push_back(fmt::format("/proc/self/fd/{}", kImageFd));
  options.env = {"LANG=C.UTF-8"};
  options.fds = {{image, kImageFd}};
  options.die_with_parent = true;
  TRY_ASSIGN(const Child child, spawn(options));
  pollfd ended{child.pidfd.get(), POLLIN, 0};
  const bool in_time = ::poll(&ended, 1, ScratchImages::kFormatTimeMs) == 1;
  if (!in_time) ::kill(child.pid, SIGKILL);
  int status = 0;
  ::waitpid(child.pid, &status, 0);
  if (!in_time) return fail(ErrorCode::kTimeout, "mke2fs took longer than {} ms", ScratchImages::kFormatTimeMs);
  if (status != 0) return fail(ErrorCode::kIo, "mke2fs ended with status {}", status);
  return {};
}

struct Loop {
  std::string name;  // "loop7"
  UniqueFd device;   // the last one to be closed clears it
};

Result<Loop> attach_loop(int image) {
  TRY_ASSIGN(const UniqueFd control, open_at(AT_FDCWD, "/dev/loop-control", O_RDWR));
  for (int tried = 0; tried < ScratchImages::kMaxTakenDevices; ++tried) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return fail_errno("no free loop device");
    Loop loop{fmt::format("loop{}", number), {}};
    TRY_ASSIGN(loop.device, open_at(AT_FDCWD, "/dev/" + loop.name, O_RDWR));
    loop_config config{};
    config.fd = static_cast<uint32_t>(image);
    // Past the page cache: the container's own has what it needs, and that one counts as its memory.
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
    if (::ioctl(loop.device.get(), LOOP_CONFIGURE, &config) == 0) return loop;
    if (errno != EBUSY) return fail_errno("attach {}", loop.name);
  }
  return fail(ErrorCode::kNoCapacity, "others take every loop device first");
}

struct Attached {
  uint64_t bytes = 0;
  bool ours = false;
};

// What a loop device has below `folder`.
Attached attached_below(const std::string& device, const std::string& folder) {
  const auto file = read_file(fmt::format("/sys/block/{}/loop/backing_file", device), 4096);
  if (!file || !file->starts_with(folder + "/")) return {};
  const auto size = read_file(fmt::format("/sys/block/{}/size", device), 64);
  uint64_t sectors = 0;
  if (size) std::from_chars(size->data(), size->data() + size->size(), sectors);
  return {sectors * kSectorBytes, true};
}

}  // namespace

// The kernel's list of loop devices is the truth, whoever made them and whatever was restarted since.
Result<ScratchImages::Taken> ScratchImages::taken() {
  const std::unique_ptr<char, void (*)(void*)> path(::realpath(settings_.scratch_dir().c_str(), nullptr), ::free);
  if (!path) return fail_errno("`{}`", settings_.scratch_dir());
  Taken taken;
  std::map<std::string, UniqueFd> known;
  const std::unique_ptr<DIR, int (*)(DIR*)> devices(::opendir("/sys/block"), ::closedir);
  while (const dirent* entry = devices ? ::readdir(devices.get()) : nullptr) {
    const std::string name = entry->d_name;
    if (!name.starts_with("loop")) continue;
    const Attached attached = attached_below(name, path.get());
    if (!attached.ours) continue;
    taken.promised += attached.bytes;
    const auto found = known_.find(name);
    struct stat st {};
    if (found == known_.end() || ::fstat(found->second.get(), &st) != 0) continue;
    taken.written += std::min<uint64_t>(static_cast<uint64_t>(st.st_blocks) * kSectorBytes, attached.bytes);
    known.insert(known_.extract(found));
  }
  known_ = std::move(known);  // the files of the others go
  return taken;
}

void ScratchImages::let_go() {
  if (!known_.empty()) (void)taken();
}

Result<void> ScratchImages::check_room(uint64_t bytes, int folder) {
  TRY_ASSIGN(const Taken now, taken());
  struct statvfs disk {};
  if (::fstatvfs(folder, &disk) != 0) return fail_errno("statvfs `{}`", settings_.scratch_dir());
  const uint64_t room = uint64_t{disk.f_bavail} * disk.f_frsize + now.written;
  const auto left = [](uint64_t of, uint64_t used) { return of > used ? of - used : 0; };
  const uint64_t of_budget = left(settings_.max_scratch_total_bytes, now.promised), of_disk = left(room, now.promised + settings_.free_disk_bytes);
  if (bytes > of_budget)
    return fail(ErrorCode::kNoCapacity, "a scratch disk of {} MB: {} MB of the {} MB for all are left", bytes >> 20, of_budget >> 20, settings_.max_scratch_total_bytes >> 20);
  if (bytes > of_disk)
    return fail(ErrorCode::kNoCapacity, "a scratch disk of {} MB: the host's has room for {} MB besides the {} MB that stay free", bytes >> 20, of_disk >> 20,
                settings_.free_disk_bytes >> 20);
  return {};
}

Result<UniqueFd> ScratchImages::make(uint64_t bytes) {
  TRY(make_directories(settings_.scratch_dir(), 0700));
  TRY_ASSIGN(const UniqueFd folder, open_at(AT_FDCWD, settings_.scratch_dir(), O_RDONLY | O_DIRECTORY));
  TRY(check_room(bytes, folder.get()));
  // SECURITY: a file of its own for each, with no block in it, and no name: none can be given to another instance, nor be found by anybody.
  TRY_ASSIGN(UniqueFd file, open_at(folder.get(), ".", O_TMPFILE | O_RDWR, 0600), settings_.scratch_dir());
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) return fail_errno("make a scratch disk of {} MB", bytes >> 20);
  TRY(format(file.get()), "scratch disk");
  TRY_ASSIGN(const Loop loop, attach_loop(file.get()), "scratch disk");
  // `discard`: what the function removes is the host's again. `nobarrier`: nothing here has to survive the machine.
  TRY_ASSIGN(UniqueFd mount, new_mount("ext4", {{"source", "/dev/" + loop.name}, {"noinit_itable", ""}, {"discard", ""}, {"nobarrier", ""}, {"errors", "continue"}}, kNoSuidNoDev));
  known_.erase(loop.name);
  if (known_.size() < kMaxKnown) known_[loop.name] = std::move(file);
  return mount;
}

std::string encode_want_scratch(uint64_t bytes) {
  wire::Writer w;
  w.number(bytes);
  return w.take();
}

Result<uint64_t> decode_want_scratch(std::string_view bytes) {
  wire::Reader r(bytes);
  const auto size = r.number<uint64_t>();
  TRY(r.finish("scratch request"));
  if (size < kMinScratchDiskBytes || size > kMaxScratchBytes) return fail(ErrorCode::kProtocol, "not a scratch disk");
  return size;
}

}  // namespace skerry::sandbox
