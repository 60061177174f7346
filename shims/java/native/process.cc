// What Java cannot do to its own process: change its folder and its environment. skerry.OwnProcess calls it; a spare needs both when it becomes an instance.
//
// Freestanding on purpose, without JNI's headers: arguments are addresses that the caller has filled, so nothing of the JVM is asked for.
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

extern "C" {

// 0, or what errno says. `path` ends with a NUL byte.
__attribute__((visibility("default"))) int32_t Java_skerry_OwnProcess_changeFolder(void* /*env*/, void* /*type*/, int64_t path) {
  return ::chdir(reinterpret_cast<const char*>(path)) == 0 ? 0 : errno;
}

// The whole environment becomes the `count` entries NAME=value at `block`, each ended by a NUL byte. The block stays the caller's gift: never freed.
__attribute__((visibility("default"))) int32_t Java_skerry_OwnProcess_replaceEnvironment(void* /*env*/, void* /*type*/, int64_t block, int32_t count) {
  char** entries = static_cast<char**>(std::calloc(static_cast<size_t>(count) + 1, sizeof(char*)));
  if (entries == nullptr) return ENOMEM;
  char* at = reinterpret_cast<char*>(block);
  for (int32_t i = 0; i < count; ++i) {
    entries[i] = at;
    at += std::strlen(at) + 1;
  }
  environ = entries;
  return 0;
}

}
