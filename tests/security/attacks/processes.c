/* Attacks on other processes: init, another instance, the host; and on what they share with each other. */
#include <dirent.h>
#include <mqueue.h>
#include <stddef.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "attack.h"

/* Signals that end, stop or confuse a process, and no namespace's init may be ended by its own. */
static void do_signal_init(char** a) {
  (void)a;
  const int signals[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGABRT, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGPIPE, SIGALRM, SIGTSTP, SIGRTMIN};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; ++i) kill(1, signals[i]);
  usleep(50000);
  tell("init", kill(1, 0));
}
static void do_init_files(char** a) {
  (void)a;
  for (const char* const* p = (const char* const[]){"exe", "root", "cwd", "ns/mnt", "ns/user"}; *p; ++p) {
    char path[64], target[256];
    snprintf(path, sizeof path, "/proc/1/%s", *p);
    tell(*p, readlink(path, target, sizeof target));
    if (p[1] == NULL || strcmp(p[1], "ns/user") == 0) {
      for (const char* const* f = (const char* const[]){"mem", "environ", "maps", "auxv", "fd", "map_files", "stack", "syscall", "root/etc/passwd", NULL}; *f; ++f) {
        snprintf(path, sizeof path, "/proc/1/%s", *f);
        char byte[64];
        const int fd = open(path, O_RDONLY);
        tell(*f, fd < 0 || strcmp(*f, "fd") == 0 || strcmp(*f, "map_files") == 0 ? fd : read(fd, byte, sizeof byte));
      }
      break;
    }
  }
}
/* Which process numbers answer, of all that there can be; the arguments are ones of the host. */
static void do_find_processes(char** a) {
  long found = 0;
  for (pid_t pid = 1; pid < 65536; ++pid) found += kill(pid, 0) == 0 || errno != ESRCH;
  tell_number("found", found);
  for (; *a; ++a) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/status", *a);
    print("kill %s=%s\n", *a, kill(atoi(*a), 0) == 0 ? "ok" : strerrorname_np(errno));
    print("proc %s=%s\n", *a, access(path, F_OK) == 0 ? "ok" : strerrorname_np(errno));
  }
}
/* A word in any environment, command line or memory that can be read. */
static void search(const char* path, const char* word, long* found) {
  static char bytes[1 << 16];
  const ssize_t n = read_path(path, bytes, sizeof bytes);
  if (n > 0 && memmem(bytes, (size_t)n, word, strlen(word))) ++*found;
}
static void do_search(char** a) {
  long found = 0, seen = 0;
  DIR* proc = opendir("/proc");
  for (struct dirent* e; (e = readdir(proc));) {
    if (atoi(e->d_name) <= 0) continue;
    ++seen;
    for (const char* const* f = (const char* const[]){"environ", "cmdline", "status", "mountinfo", "cgroup", NULL}; *f; ++f) {
      char path[300];
      snprintf(path, sizeof path, "/proc/%s/%s", e->d_name, *f);
      search(path, *a, &found);
    }
  }
  tell_number("seen", seen);
  tell_number("found", found);
}
/* A word in this program's own memory, wherever that came from. It is given backwards, so that the question itself is no finding. */
static void do_search_memory(char** a) {
  static char maps[1 << 16], piece[1 << 16];
  const size_t size = strlen(*a);
  long found = 0;
  const int memory = open("/proc/self/mem", O_RDONLY);
  if (memory < 0 || read_path("/proc/self/maps", maps, sizeof maps) < 0) return tell("found", -1);
  for (char *line = maps, *next; (next = strchr(line, '\n')); line = next + 1) {
    unsigned long from, to;
    char may;
    if (sscanf(line, "%lx-%lx %c", &from, &to, &may) != 3 || may != 'r') continue;
    ssize_t n;
    for (; from < to && (n = pread(memory, piece, to - from < sizeof piece ? to - from : sizeof piece, (off_t)from)) > 0; from += (size_t)n)
      for (size_t i = 0; i + size <= (size_t)n; ++i) {
        size_t same = 0;
        while (same < size && piece[i + same] == (*a)[size - 1 - same]) ++same;
        found += same == size;
      }
  }
  tell_number("found", found);
}

static struct sockaddr_un abstract(const char* name, socklen_t* size) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
  memcpy(at.sun_path + 1, name, strlen(name));
  return at;
}
static void do_abstract(char** a) {
  socklen_t size;
  const struct sockaddr_un at = abstract(*a, &size);
  tell("connect", connect(socket(AF_UNIX, SOCK_STREAM, 0), (const struct sockaddr*)&at, size));
}
static void do_abstract_listen(char** a) {
  socklen_t size;
  const struct sockaddr_un at = abstract(*a, &size);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  tell("bind", bind(fd, (const struct sockaddr*)&at, size));
  tell("listen", listen(fd, 8));
  hold_on();
}
/* A server's socket that is a file: a path of the host. */
static void do_unix(char** a) {
  for (; *a; ++a) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", *a);
    int result = connect(socket(AF_UNIX, SOCK_STREAM, 0), (const struct sockaddr*)&at, sizeof at);
    if (result < 0 && errno == EPROTOTYPE) result = connect(socket(AF_UNIX, SOCK_SEQPACKET, 0), (const struct sockaddr*)&at, sizeof at);
    tell(*a, result);
  }
}

enum { kKey = 0x534b5259 };
static void do_share(char** a) {
  const int shm = shmget(kKey, 4096, IPC_CREAT | 0666);
  tell("shm", shm);
  char* memory = shmat(shm, NULL, 0);
  if (memory != (void*)-1) strncpy(memory, *a, 100);
  tell("sem", semget(kKey, 1, IPC_CREAT | 0666));
  const int queue = msgget(kKey, IPC_CREAT | 0666);
  const struct { long type; char text[64]; } message = {1, "a word for another instance"};
  tell("msg", msgsnd(queue, &message, sizeof message.text, IPC_NOWAIT));
  const int fd = open("/dev/shm/skerry-attack", O_WRONLY | O_CREAT, 0666);
  tell("file", write(fd, *a, strlen(*a)));
  hold_on();
}
static void do_find_shared(char** a) {
  (void)a;
  tell("shm", shmget(kKey, 4096, 0));
  tell("sem", semget(kKey, 1, 0));
  tell("msg", msgget(kKey, 0));
  tell("file", open("/dev/shm/skerry-attack", O_RDONLY));
  /* All segments that there are, without a key. */
  struct shm_info info;
  tell_number("segments", shmctl(0, SHM_INFO, (struct shmid_ds*)(void*)&info) < 0 ? -errno : info.used_ids);
}
static void do_queue(char** a) {
  (void)a;
  tell("mq", mq_open("/skerry-attack", O_RDWR | O_CREAT, 0666, NULL));
}

const struct attack process_attacks[] = {{"signal-init", do_signal_init}, {"init-files", do_init_files}, {"find-processes", do_find_processes}, {"search", do_search}, {"search-memory", do_search_memory},
                                         {"abstract", do_abstract}, {"abstract-listen", do_abstract_listen}, {"unix", do_unix}, {"share", do_share},
                                         {"find-shared", do_find_shared}, {"queue", do_queue}, {NULL, NULL}};
