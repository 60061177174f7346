// The program behind every proxy of the benches: answers each GET with the same few bytes, as cheaply as one thread and epoll can. It reads no bodies.
//
//   upstream fd            accepts on descriptor 3 and says ready on 4, as shims do (shims/README.md); also what crun starts
//   upstream unix:PATH     listens there
//   upstream tcp:PORT      listens on 127.0.0.1
//   upstream               listens on $PORT of all addresses, as an own server does
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { kMaxFds = 8192, kEvents = 256, kShimListener = 3, kShimStatus = 4 };

static const char kAnswer[] = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nhello\n";
static const char kEnd[] = "\r\n\r\n";
static unsigned char matched[kMaxFds];  // how much of kEnd each connection's last bytes are

static int fail(const char* what) {
  perror(what);
  return 1;
}

static int listen_on(const char* where) {
  int fd, on = 1;
  if (where && strncmp(where, "unix:", 5) == 0) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", where + 5);
    unlink(a.sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr*)&a, sizeof a) != 0) return -1;
  } else {
    const char* port = where ? where + 4 : getenv("PORT");
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port ? port : "8080"))};
    a.sin_addr.s_addr = htonl(where ? INADDR_LOOPBACK : INADDR_ANY);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // connections inherit it
    if (fd < 0 || bind(fd, (struct sockaddr*)&a, sizeof a) != 0) return -1;
  }
  return listen(fd, 1024) == 0 ? fd : -1;
}

static void accept_all(int epoll, int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (fd >= kMaxFds) {
      close(fd);
      continue;
    }
    matched[fd] = 0;
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
  }
}

// Answers every head that ends in what has come. The descriptor is closed at its end, or when its buffer is full: nobody here sends so far ahead.
static void serve(int fd) {
  char in[16384];
  for (;;) {
    ssize_t n = recv(fd, in, sizeof in, 0);
    if (n < 0) return;
    if (n == 0) {
      close(fd);
      return;
    }
    for (ssize_t i = 0; i < n; ++i) {
      matched[fd] = in[i] == kEnd[matched[fd]] ? matched[fd] + 1 : in[i] == '\r';
      if (matched[fd] < 4) continue;
      matched[fd] = 0;
      if (send(fd, kAnswer, sizeof kAnswer - 1, MSG_NOSIGNAL) != sizeof kAnswer - 1) {
        close(fd);
        return;
      }
    }
    if (n < (ssize_t)sizeof in) return;  // drained: what comes later is a new event
  }
}

int main(int argc, char** argv) {
  const int inherited = argc > 1 && strcmp(argv[1], "fd") == 0;
  const int listener = inherited ? kShimListener : listen_on(argc > 1 ? argv[1] : NULL);
  if (listener < 0) return fail("listen");
  signal(SIGPIPE, SIG_IGN);
  fcntl(listener, F_SETFL, O_NONBLOCK);  // an inherited one may block
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[kEvents];
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) != 0) return fail("epoll_ctl");
  if (inherited && write(kShimStatus, "{\"phase\":\"ready\"}\n", 18) == 18) close(kShimStatus);
  for (;;) {
    int n = epoll_wait(epoll, events, kEvents, -1);
    for (int i = 0; i < n; ++i) {
      if (events[i].data.fd == listener) accept_all(epoll, listener);
      else serve(events[i].data.fd);
    }
  }
}
