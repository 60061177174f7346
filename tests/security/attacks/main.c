/* A hostile program. Without arguments it is a container's program: an HTTP server on descriptor 3 that carries out `GET /NAME?ARG&ARG`, each attack
 * in a child of its own. `attack run NAME ARG...` carries one out and ends: as a container's program from its first moment, or outside of any
 * container, to show what the attack does where nothing stops it. As a spare that becomes an instance it carries out what its new environment says in
 * ATTACK ("NAME ARG ...") at once, and ends. Static, no dependencies. */
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <time.h>

#include "../../sandbox/spare.h"
#include "attack.h"

static int answer_fd = 1;

void print(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vdprintf(answer_fd, format, arguments);
  va_end(arguments);
}
int answer(void) { return answer_fd; }
void tell(const char* what, long result) { print("%s=%s\n", what, result < 0 ? strerrorname_np(errno) : "ok"); }
void tell_number(const char* what, long number) { print("%s=%ld\n", what, number); }
void tell_end(const char* what, pid_t child) {
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return tell(what, -1);
  if (WIFSIGNALED(status)) print("%s=SIG%s\n", what, sigabbrev_np(WTERMSIG(status)));
  else print("%s=exit %d\n", what, WEXITSTATUS(status));
}
void hold_on(void) {
  close(answer_fd);
  for (;;) pause();
}
ssize_t read_path(const char* path, char* out, size_t size) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  size_t used = 0;
  ssize_t n = 0;
  while (used < size - 1 && (n = read(fd, out + used, size - 1 - used)) > 0) used += (size_t)n;
  const int error = errno;
  close(fd);
  out[used] = 0;
  errno = error;
  return n < 0 ? -1 : (ssize_t)used;
}
long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int carry_out(const char* name, char** arguments) {
  const struct attack* tables[] = {kernel_attacks, file_attacks, process_attacks, bomb_attacks, network_attacks, shared_attacks};
  for (size_t t = 0; t < sizeof tables / sizeof *tables; ++t)
    for (const struct attack* a = tables[t]; a->name; ++a)
      if (strcmp(a->name, name) == 0) {
        a->run(arguments);
        return 0;
      }
  print("no attack is called %s\n", name);
  return 64;
}

/* "NAME?ARG&ARG" in a child; its output until the last holder of the pipe closes it. */
static size_t answer_request(char* path, char* out, size_t size) {
  char* arguments[64];
  size_t count = 0;
  char* rest = strchr(path, '?');
  if (rest) *rest++ = 0;
  while (rest && *rest && count < 63) arguments[count++] = strsep(&rest, "&");
  arguments[count] = NULL;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return (size_t)snprintf(out, size, "pipe=%s\n", strerrorname_np(errno));
  const pid_t child = fork();
  if (child < 0) {
    const int error = errno;
    close(ends[0]), close(ends[1]);
    return (size_t)snprintf(out, size, "fork=%s\n", strerrorname_np(error));
  }
  if (child == 0) {
    close(ends[0]);
    answer_fd = ends[1];
    _exit(carry_out(path, arguments));
  }
  close(ends[1]);
  size_t used = 0;
  ssize_t n;
  while (used < size && (n = read(ends[0], out + used, size - used)) > 0) used += (size_t)n;
  close(ends[0]);
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
  return used;
}

static void serve(int client) {
  static char request[65536], answer[1 << 20];
  size_t got = 0;
  ssize_t n;
  while (got < sizeof request - 1 && (n = read(client, request + got, sizeof request - 1 - got)) > 0) {
    got += (size_t)n;
    request[got] = 0;
    char* end = strstr(request, "\r\n\r\n");
    if (!end) continue;
    char path[8192];
    if (sscanf(request, "GET /%8191s", path) != 1) return;
    const size_t size = answer_request(path, answer, sizeof answer);
    dprintf(client, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n\r\n", size);
    if (write(client, answer, size) != (ssize_t)size) return;
    got = 0;
  }
}

static int carry_out_line(char* line) {
  char* arguments[64];
  size_t count = 0;
  while (line && count < 63) arguments[count++] = strsep(&line, " ");
  arguments[count] = NULL;
  return carry_out(arguments[0], arguments + 1);
}

int main(int argc, char** argv) {
  if (argc > 2) return carry_out(argv[2], argv + 3);
  if (getenv("SKERRY_ASSIGNMENT_FD")) {
    if (become() != 0) return 1;
    if (getenv("ATTACK")) return carry_out_line(getenv("ATTACK"));
  }
  signal(SIGPIPE, SIG_IGN);
  dprintf(4, "{\"phase\":\"ready\"}\n");
  close(4);
  for (;;) {
    const int client = accept4(3, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) continue;
    serve(client);
    close(client);
  }
}
