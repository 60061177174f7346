/* What the attacks share. Each prints lines of "what=ok", "what=ERRNO" or "what=number": the tests assert the exact words. Built with -D_GNU_SOURCE. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct attack {
  const char* name;
  void (*run)(char** arguments); /* ends with a null pointer */
};

/* One table a file, each ends with a null name. */
extern const struct attack kernel_attacks[], file_attacks[], process_attacks[], bomb_attacks[], network_attacks[], shared_attacks[];

void print(const char* format, ...) __attribute__((format(printf, 1, 2)));
void tell(const char* what, long result); /* "ok", or errno's name when it is below 0 */
void tell_number(const char* what, long number);
int answer(void); /* the descriptor that the two write to */
/* How a forked child ended: "exit 0", "SIGSYS". */
void tell_end(const char* what, pid_t child);
/* Lets the answer go out and stays alive with what the attack holds, until the container ends. */
void hold_on(void) __attribute__((noreturn));
/* Everything that a file says, at most `size` - 1 bytes, with a NUL; -1 and errno. */
ssize_t read_path(const char* path, char* out, size_t size);
long now_ms(void);
