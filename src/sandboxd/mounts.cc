#include "sandboxd/mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "os/file.h"
#include "sandboxd/mount_calls.h"

namespace skerry::sandbox {
namespace {

Result<void> make_folder(int dirfd, const std::string& path, mode_t mode, uint32_t owner) {
  if (::mkdirat(dirfd, path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno("mkdir `{}`", path);
  if (::fchownat(dirfd, path.c_str(), owner, owner, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno("chown `{}`", path);
  if (::fchmodat(dirfd, path.c_str(), mode, 0) != 0) return fail_errno("chmod `{}`", path);
  return {};
}

Result<void> make_text(int dirfd, const char* path, std::string_view text, uint32_t owner) {
  TRY_ASSIGN(const UniqueFd fd, open_at(dirfd, path, O_WRONLY | O_CREAT | O_EXCL, 0644));
  TRY(write_all(fd.get(), text), path);
  if (::fchown(fd.get(), owner, owner) != 0) return fail_errno("chown `{}`", path);
  return {};
}

std::string hosts_text(const std::string& hostname) { return fmt::format("127.0.0.1 localhost {0}\n::1 localhost {0}\n", hostname); }

}  // namespace

Result<void> write_hostname_files(const std::string& hostname) {
  for (const auto& [path, text] : {std::pair<const char*, std::string>{"/etc/hosts", hosts_text(hostname)}, {"/etc/hostname", hostname + "\n"}}) {
    TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, path, O_WRONLY | O_TRUNC | O_NOFOLLOW));
    TRY(write_all(fd.get(), text), path);
  }
  return {};
}

Result<void> Mounts::prepare() {
  if (::unshare(CLONE_NEWNS) != 0) return fail_errno("unshare(CLONE_NEWNS)");
  // Slave, not private: nothing goes to the host, and what the host unmounts does not stay pinned here.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return fail_errno("keep mounts from the host");
  const std::string path = settings_.work_dir();
  TRY(make_directories(path, 0700));
  TRY_ASSIGN(const UniqueFd scratch, new_mount("tmpfs", {{"mode", "0700"}, {"size", "1m"}}, kNoSuidNoDev));
  TRY(attach(scratch.get(), AT_FDCWD, path.c_str()));
  TRY_ASSIGN(work_, open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  if (::mkdirat(work_.get(), "t", 0700) != 0) return fail_errno("mkdir `t`");
  return {};
}

Result<void> Mounts::attach_layer(const Digest& layer, const std::string& subfolder, const Slot& slot, int top, const std::string& at) {
  TRY_ASSIGN(const UniqueFd folder, open_at(AT_FDCWD, settings_.layers_dir() + "/" + layer.hex(), O_PATH | O_DIRECTORY), "layer " + layer.str());
  // SECURITY: a layer is what a tenant made: no link in it leads out of it.
  TRY_ASSIGN(const UniqueFd inside, open_beneath(folder.get(), subfolder.empty() ? "." : subfolder, O_PATH | O_DIRECTORY), "layer " + layer.str());
  TRY_ASSIGN(const UniqueFd tree, copy_mount(inside.get(), ""), "layer " + layer.str());
  TRY(set_attributes(tree.get(), MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | kNoSuidNoDev, slot.layer_mapping.get()), "layer " + layer.str());
  if (::mkdirat(top, at.c_str(), 0700) != 0) return fail_errno("mkdir `{}`", at);
  return attach(tree.get(), top, at.c_str());
}

// The writable top. What must be an ordinary folder or file, whatever the layers say, is made here: the top wins.
Result<UniqueFd> Mounts::make_top(const StartPlan& plan, const Slot& slot, UniqueFd disk) {
  const uint32_t root = slot_id_base(slot.index), fn = root + kFunctionUser;
  UniqueFd top = std::move(disk);
  if (!top) {
    // An inode costs about 1 KB of kernel memory that the size does not count.
    const uint64_t inodes = std::max<uint64_t>(1024, plan.limits.scratch_bytes / 2048);
    TRY_ASSIGN(top, new_mount("tmpfs", {{"size", std::to_string(plan.limits.scratch_bytes)}, {"nr_inodes", std::to_string(inodes)}, {"mode", "0755"}}, kNoSuidNoDev));
  }
  TRY(make_folder(top.get(), "w", 0700, root));
  TRY(make_folder(top.get(), "u", 0755, root));
  TRY_ASSIGN(const UniqueFd upper, open_at(top.get(), "u", O_RDONLY | O_DIRECTORY));
  for (const char* name : {"proc", "sys", "dev", "etc", "home"}) TRY(make_folder(upper.get(), name, 0755, root));
  TRY(make_folder(upper.get(), "tmp", 01777, root));
  TRY(make_folder(upper.get(), "home/fn", 0755, fn));
  TRY(make_folder(upper.get(), "app", 0755, fn));
  if (plan.kind == PlanKind::kJob) {
    // The last is where Java's runtime lies in functions, too: what is made there is good at that path alone.
    for (const char* name : {"src", "out", "skerry-java"}) TRY(make_folder(upper.get(), name, 0755, fn));
  }
  TRY(make_text(upper.get(), "etc/hosts", hosts_text(plan.hostname), root));
  TRY(make_text(upper.get(), "etc/hostname", plan.hostname + "\n", root));
  TRY(make_text(upper.get(), "etc/resolv.conf", fmt::format("nameserver {}\noptions timeout:2 attempts:2\n", address_text(settings_.gateway())), root));
  return top;
}

Result<void> Mounts::attach_top(int top) {
  let_go();
  TRY(attach(top, work_.get(), "t"));
  attached_ = true;
  return {};
}

// Names are relative to work_: they keep the option under the kernel's 256 bytes whatever the run folder is called.
Result<UniqueFd> Mounts::mount_overlay(const std::string& lower, const std::string& upper, const std::string& work) {
  if (::fchdir(work_.get()) != 0) return fail_errno("chdir to the work folder");
  auto mount = new_mount("overlay", {{"lowerdir", lower}, {"upperdir", upper}, {"workdir", work}, {"volatile", ""}}, kNoSuidNoDev);
  if (::chdir("/") != 0) return fail_errno("chdir");
  return mount;
}

Result<Mounts::Root> Mounts::build_root(const StartPlan& plan, const Slot& slot, UniqueFd disk) {
  TRY_ASSIGN(const UniqueFd top, make_top(plan, slot, std::move(disk)), "writable top");
  TRY(attach_top(top.get()));
  Root root;
  if (plan.spare) {
    TRY_ASSIGN(root.top, copy_mount(work_.get(), "t"));
  }
  std::string lower;
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    TRY(attach_layer(plan.layers[i], {}, slot, top.get(), std::to_string(i)));
    lower = fmt::format("t/{}{}{}", i, lower.empty() ? "" : ":", lower);
  }
  TRY_ASSIGN(root.mount, mount_overlay(lower, "t/u", "t/w"));
  return root;
}

Result<std::string> Mounts::subfolder_of(const Digest& layer) {
  if (const auto known = subfolders_.find(layer.hex()); known != subfolders_.end()) return known->second;
  TRY_ASSIGN(const std::string meta, read_file(fmt::format("{}/{}.meta", settings_.layers_dir(), layer.hex()), 4096), "layer " + layer.str());
  std::string subfolder = meta.substr(0, meta.find(' '));
  if (subfolders_.size() >= kMaxKnownLayers) subfolders_.clear();
  subfolders_[layer.hex()] = subfolder;
  return subfolder;
}

Result<std::vector<std::pair<std::string, UniqueFd>>> Mounts::build_parts(const StartPlan& plan, const Slot& slot, UniqueFd top) {
  const uint32_t root = slot_id_base(slot.index);
  TRY(attach_top(top.get()));
  std::map<std::string, std::string> lowers;
  for (size_t i = plan.runtime_layers; i < plan.layers.size(); ++i) {
    TRY_ASSIGN(const std::string path, subfolder_of(plan.layers[i]));
    if (path.size() < 2 || path[0] != '/') return fail(ErrorCode::kNotFound, "layer {} is not of one folder", plan.layers[i].str());
    TRY(attach_layer(plan.layers[i], path.substr(1), slot, top.get(), std::to_string(i)));
    std::string& lower = lowers[path];
    lower = fmt::format("t/{}{}{}", i, lower.empty() ? "" : ":", lower);
  }
  std::vector<std::pair<std::string, UniqueFd>> parts;
  for (const auto& [path, lower] : lowers) {
    const std::string upper = fmt::format("u{}", parts.size()), work = fmt::format("w{}", parts.size());
    TRY(make_folder(top.get(), upper, 0755, path == "/app" ? root + kFunctionUser : root));
    TRY(make_folder(top.get(), work, 0700, root));
    TRY_ASSIGN(UniqueFd part, mount_overlay(lower, "t/" + upper, "t/" + work), path);
    parts.emplace_back(path, std::move(part));
  }
  return parts;
}

void Mounts::let_go() {
  if (attached_) ::umount2((settings_.work_dir() + "/t").c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  attached_ = false;
}

}  // namespace skerry::sandbox
