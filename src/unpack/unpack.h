// unpack(): one archive into one empty directory, by the rules below. The core of skerry-unpack; also called
// by tests and fuzzing.
//
// An entry that breaks a rule ends it with an Error that names the entry; what was made until then is the
// caller's to remove. Refused: `..`, absolute and over-long names; a path twice (directories excepted); a
// path through a link or a file; hard links to anything but a regular file unpacked before; devices, pipes,
// sockets; set-uid and set-gid bits; Linux extended attributes and ACLs; more content (by apparent size,
// holes included) or entries than allowed; another digest than announced. Symbolic links are kept as they
// are, wherever they point: they are resolved only inside a container, and never here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "contract/ids.h"

namespace skerry::unpack {

inline constexpr size_t kMaxNameBytes = 255;   // one component: ext4's own limit
inline constexpr size_t kMaxPathBytes = 1024;  // longest seen in real projects is under 400
inline constexpr size_t kMaxPathDepth = 64;
inline constexpr size_t kMaxLinkBytes = 4095;       // PATH_MAX - 1
inline constexpr uint32_t kUnprivilegedUid = 1000;  // "fn" in every base image
inline constexpr uint32_t kNobody = 65534;          // for owners that the user namespace does not have

enum class Owner { kKeep, kFunction };

struct Options {
  Digest digest;
  std::string subfolder;  // absolute; "" or "/" is the target itself
  uint64_t max_bytes = 0;
  uint32_t max_files = 0;
  Owner owner = Owner::kFunction;
};

struct Unpacked {
  uint64_t bytes = 0;  // apparent size of all files
  uint32_t files = 0;  // everything made: files, links, directories
};

// Borrows both descriptors. `target` must be an empty directory that nobody else writes to.
Result<Unpacked> unpack(int archive, int target, const Options& options);

}  // namespace skerry::unpack
