"""Becomes the shim: `launch.py LISTENER STATUS DIRECTORY ARGV...`, run with -I -S.

Puts the two descriptors at 3 and 4, as starter does, and replaces itself, so that the kit's child is the shim and not a parent of it. A program of its own
because Popen's preexec_fn would overwrite the descriptor through which Popen reports failures.
"""

import fcntl
import os
import sys


def main():
    listener, status, directory, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (listener, status)]
    os.close(listener)
    os.close(status)
    os.closerange(3, 10)
    os.dup2(high[0], 3, inheritable=True)
    os.dup2(high[1], 4, inheritable=True)
    os.chdir(directory)
    os.execve(argv[0], argv, dict(os.environ))


main()
