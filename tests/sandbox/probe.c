/* The program that the sandbox tests run as a container: a tiny HTTP server that does what the path says and reports what it saw.
 * Serves the inherited listening socket (descriptor 3), or TCP port 8080 when there is none. With arguments it is a job. Static, no dependencies. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "spare.h"

extern char** environ;
static char answer[1 << 20];
static size_t used;

static void say(const char* text) {
  size_t n = strlen(text);
  if (used + n < sizeof answer) memcpy(answer + used, text, n), used += n;
}
static void say_number(const char* name, long value) {
  char line[128];
  snprintf(line, sizeof line, "%s=%ld\n", name, value);
  say(line);
}

static void read_file(const char* path) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) return say("error="), say(strerror(errno)), say("\n");
  ssize_t n;
  while (used < sizeof answer - 1 && (n = read(fd, answer + used, sizeof answer - 1 - used)) > 0) used += (size_t)n;
  close(fd);
}

static void list_descriptors(void) {
  for (int fd = 0; fd < 1024; ++fd) {
    char path[64], target[256];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) continue;
    target[n] = 0;
    char line[400];
    snprintf(line, sizeof line, "%d %s\n", fd, target);
    say(line);
  }
}

static void fill_memory(void) {
  for (;;) {
    char* p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED) memset(p, 1, 1 << 20);
  }
}

/* One child takes all the memory; this process has done nothing. */
static void child_fills_memory(void) {
  pid_t pid = fork();
  if (pid == 0) fill_memory();
  waitpid(pid, NULL, 0);
  say("the child is gone\n");
}

static void fork_many(void) {
  int made = 0, error = 0;
  pid_t children[5000];
  while (made < 5000) {
    pid_t pid = fork();
    if (pid < 0) { error = errno; break; }
    if (pid == 0) { pause(); _exit(0); }
    children[made++] = pid;
  }
  for (int i = 0; i < made; ++i) kill(children[i], SIGKILL), waitpid(children[i], NULL, 0);
  say_number("made", made);
  say_number("errno", error);
}

static void fill_disk(const char* path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) return say_number("errno", errno);
  signal(SIGXFSZ, SIG_IGN);
  static char block[65536];
  long written = 0;
  ssize_t n;
  while ((n = write(fd, block, sizeof block)) > 0) written += n;
  say_number("errno", errno);
  say_number("written", written);
  close(fd);
  unlink(path);
}

static void try_connect(const char* address, int port, int type) {
  int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, address, &to.sin_addr);
  if (connect(fd, (struct sockaddr*)&to, sizeof to) != 0 && errno != EINPROGRESS) return say_number("errno", errno);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(fd, &set);
  struct timeval limit = {1, 0};
  int ready = select(fd + 1, NULL, &set, NULL, &limit);
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  say_number("connected", ready == 1 && error == 0);
  say_number("errno", error);
  close(fd);
}

/* What goes on between requests: a thread that counts milliseconds, and a timer that is due again and again. */
static volatile long counted, rung;
static void* count(void* unused) {
  for (;; ++counted) usleep(1000);
  return unused;
}
static void ring(int signal_number) {
  (void)signal_number;
  ++rung;
}
static void begin_to_count(void) {
  pthread_t thread;
  if (counted == 0) pthread_create(&thread, NULL, count, NULL);
}
static void ring_every(long ms) {
  struct sigaction action = {.sa_handler = ring, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval every = {{ms / 1000, ms % 1000 * 1000}, {ms / 1000, ms % 1000 * 1000}};
  setitimer(ITIMER_REAL, &every, NULL);
}
static void say_clock(const char* name, clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  say_number(name, now.tv_sec * 1000000000L + now.tv_nsec);
}

static void handle(char* path) {
  used = 0;
  if (strcmp(path, "/hello") == 0) say("hello\n");
  else if (strncmp(path, "/read/", 6) == 0) read_file(path + 5);
  else if (strncmp(path, "/write/", 7) == 0) say_number("errno", open(path + 6, O_WRONLY | O_CREAT, 0600) < 0 ? errno : 0);
  else if (strcmp(path, "/env") == 0) for (char** e = environ; *e; ++e) say(*e), say("\n");
  else if (strcmp(path, "/fds") == 0) list_descriptors();
  else if (strcmp(path, "/ids") == 0) say_number("uid", getuid()), say_number("gid", getgid()), say_number("groups", getgroups(0, NULL)), say_number("pid", getpid());
  else if (strcmp(path, "/umask") == 0) say_number("umask", umask(0));
  else if (strcmp(path, "/cwd") == 0) getcwd(answer, sizeof answer), used = strlen(answer);
  else if (strcmp(path, "/count") == 0) begin_to_count(), say_number("counted", counted), say_number("rung", rung);
  else if (strncmp(path, "/ring/", 6) == 0) ring_every(atol(path + 6));
  else if (strcmp(path, "/clocks") == 0) say_clock("real", CLOCK_REALTIME), say_clock("monotonic", CLOCK_MONOTONIC);
  else if (strcmp(path, "/memory") == 0) fill_memory();
  else if (strcmp(path, "/child-memory") == 0) child_fills_memory();
  else if (strcmp(path, "/fork") == 0) fork_many();
  else if (strncmp(path, "/disk/", 6) == 0) fill_disk(path + 5);
  else if (strncmp(path, "/exit/", 6) == 0) exit(atoi(path + 6));
  else if (strncmp(path, "/print/", 7) == 0) dprintf(1, "%s\n", path + 7), say("ok\n");
  else if (strncmp(path, "/stat/", 6) == 0) {
    struct stat st;
    if (stat(path + 5, &st) != 0) say_number("errno", errno);
    else say_number("mode", st.st_mode), say_number("uid", st.st_uid), say_number("size", st.st_size);
  } else if (strncmp(path, "/syscall/", 9) == 0) {
    long number = 0, a = 0, b = 0, c = 0;
    sscanf(path + 9, "%ld/%ld/%ld/%ld", &number, &a, &b, &c);
    long result = syscall(number, a, b, c, 0, 0, 0);
    say_number("result", result);
    say_number("errno", result < 0 ? errno : 0);
  } else if (strncmp(path, "/connect/", 9) == 0) {
    char address[64];
    int port = 0;
    sscanf(path + 9, "%63[^/]/%d", address, &port);
    try_connect(address, port, SOCK_STREAM);
  } else say("unknown\n");
}

/* As a job: `probe copy` (standard input to output), `probe exit N`, `probe wait` (for ever). */
static int work(char** argv) {
  if (strcmp(argv[1], "exit") == 0) return atoi(argv[2]);
  if (strcmp(argv[1], "wait") == 0) {
    dprintf(1, "waiting\n");
    for (;;) pause();
  }
  char block[4096];
  ssize_t n;
  while ((n = read(0, block, sizeof block)) > 0)
    if (write(1, block, (size_t)n) != n) return 3;
  dprintf(2, "%s\n", getenv("PURPOSE") ? getenv("PURPOSE") : "");
  return n < 0 ? 4 : 0;
}

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN); /* a caller may have gone away while this was frozen */
  if (argc > 1) return work(argv);
  if (getenv("SKERRY_ASSIGNMENT_FD") && become() != 0) return 1;
  int server = 3, is_listening = 0;
  socklen_t size = sizeof is_listening;
  if (getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) != 0 || !is_listening) {
    server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8080), .sin_addr.s_addr = htonl(INADDR_ANY)};
    if (bind(server, (struct sockaddr*)&at, sizeof at) != 0 || listen(server, 16) != 0) return 9;
  } else {
    dprintf(4, "{\"phase\":\"ready\"}\n");
    close(4);
  }
  for (;;) {
    int client = accept(server, NULL, NULL);
    if (client < 0) continue;
    static char request[65536];
    size_t got = 0;
    ssize_t n;
    while ((n = read(client, request + got, sizeof request - 1 - got)) > 0) {
      got += (size_t)n;
      request[got] = 0;
      char* end;
      while ((end = strstr(request, "\r\n\r\n")) != NULL) {
        char method[16], path[4096];
        sscanf(request, "%15s %4095s", method, path);
        handle(path);
        char head[128];
        int head_size = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n\r\n", used);
        if (write(client, head, (size_t)head_size) < 0 || write(client, answer, used) < 0) break;
        size_t rest = got - (size_t)(end + 4 - request);
        memmove(request, end + 4, rest);
        got = rest;
        request[got] = 0;
      }
    }
    close(client);
  }
}
