/* The first process of the machine that `make test-vm` boots: kernel modules, mounts, then the tests, then power off. In the initramfs beside
 * `modules`, whose files are loaded in the order of their names. The machine's root is the host's, read-only; what is written goes to a disk. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(const char* what) {
  if (what != NULL) fprintf(stderr, "init: %s: %s\n", what, strerror(errno));
  sync();
  reboot(RB_POWER_OFF);
  for (;;) pause();
}

static void put(const char* type, const char* source, const char* target, unsigned long flags, const char* options) {
  if (mount(source, target, type, flags, options) != 0) end(target);
}

static void load_modules(void) {
  struct dirent** names;
  const int count = scandir("/modules", &names, NULL, alphasort);
  if (count < 0 || chdir("/modules") != 0) end("/modules");
  for (int i = 0; i < count; ++i) {
    if (names[i]->d_name[0] == '.') continue;
    const int fd = open(names[i]->d_name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) fprintf(stderr, "init: module %s: %s\n", names[i]->d_name, strerror(errno));
    close(fd);
  }
}

#define SHARE "trans=virtio,version=9p2000.L,msize=262144,access=any,"

static void mount_everything(void) {
  put("devtmpfs", "dev", "/dev", 0, "mode=0755");
  put("9p", "host", "/root", MS_RDONLY, SHARE "cache=loose");
  if (chdir("/root") != 0) end("/root");
  put(NULL, ".", "/", MS_MOVE, NULL);
  if (chroot(".") != 0 || chdir("/") != 0) end("chroot");
  put("proc", "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  put("sysfs", "sys", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  put("devtmpfs", "dev", "/dev", 0, "mode=0755");
  mkdir("/dev/pts", 0755), mkdir("/dev/shm", 0755);
  put("devpts", "pts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666");
  put("tmpfs", "shm", "/dev/shm", MS_NOSUID | MS_NODEV, NULL);
  put("cgroup2", "cgroup", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  put("tmpfs", "run", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
  put("ext4", "/dev/vda", "/tmp", 0, NULL);
  if (chmod("/tmp", 01777) != 0) end("/tmp");
  if (mkdir("/run/tree", 0755) != 0 || mkdir("/run/results", 0755) != 0 || mkdir("/run/lock", 01777) != 0) end("/run");
  put("9p", "tree", "/run/tree", MS_RDONLY, SHARE "cache=loose");
  put("9p", "results", "/run/results", 0, SHARE "cache=none");
}

/* pid 1 has every orphan for a child; the tests' own end is the machine's. */
static void run_tests(void) {
  const pid_t tests = fork();
  if (tests == 0) {
    setsid();
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("HOME", "/tmp", 1);
    execl("/usr/bin/python3", "python3", "-B", "/run/tree/tests/vm/guest.py", NULL);
    end("python3");
  }
  int status = 0;
  for (pid_t ended = 0; ended != tests;) {
    ended = wait(&status);
    if (ended < 0 && errno == ECHILD) break;
  }
  if (status != 0) fprintf(stderr, "init: the tests ended with status %x\n", (unsigned)status);
}

int main(void) {
  load_modules();
  mount_everything();
  run_tests();
  end(NULL);
}
