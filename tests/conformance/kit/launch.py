"""Becomes the shim: `launch.py LISTENER,STATUS[,ASSIGNMENT] DIRECTORY ARGV...`, run with -I -S.

Puts the descriptors at 3, 4 and 5, as starter does, and replaces itself, so that the kit's child is the shim and not a parent of it. A program of its own
because Popen's preexec_fn would overwrite the descriptor through which Popen reports failures.
"""

import fcntl
import os
import sys


def main():
    given, directory, argv = [int(fd) for fd in sys.argv[1].split(",")], sys.argv[2], sys.argv[3:]
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in given]
    os.closerange(3, 20)
    for number, fd in enumerate(high, 3):
        os.dup2(fd, number, inheritable=True)
    os.chdir(directory)
    os.execve(argv[0], argv, dict(os.environ))


main()
