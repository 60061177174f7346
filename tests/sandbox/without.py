"""without.py CALL[,CALL...] COMMAND...: executes the command in a kernel that lacks these calls. A seccomp filter answers ENOSYS for them, in the command
and in all that it starts. CALL is a system call's name, or name:INDEX=VALUE for those calls only whose argument has that value (its lower 32 bits).
With "+done" after it the call says that it is done, and does nothing: tests/security takes single barriers away so."""
import ctypes
import os
import struct
import sys

NUMBERS = {"ioctl": 16, "mlockall": 151, "mount": 165, "prlimit64": 302, "seccomp": 317, "memfd_create": 319, "pidfd_send_signal": 424, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431,
           "fsmount": 432, "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "mount_setattr": 442}  # of x86-64
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ENOSYS, DONE_NOTHING = 0x7FFF0000, 0x00050000 | 38, 0x00050000
PR_SET_SECCOMP, MODE_FILTER = 22, 2


def step(code, value, when=0, otherwise=0):
    return struct.pack("<HBBI", code, when, otherwise, value)


def program(calls):
    steps = []
    for call in calls:
        call, _, done = call.partition("+")
        answer = DONE_NOTHING if done else ENOSYS
        name, _, condition = call.partition(":")
        steps.append(step(LOAD, 0))  # the call's number
        if condition:
            index, value = map(int, condition.split("="))
            steps += [step(EQUAL, NUMBERS[name], 0, 3), step(LOAD, 16 + 8 * index), step(EQUAL, value, 0, 1), step(RETURN, answer)]
        else:
            steps += [step(EQUAL, NUMBERS[name], 0, 1), step(RETURN, answer)]
    return b"".join([*steps, step(RETURN, ALLOW)])


def main():
    assert os.uname().machine == "x86_64"
    filter_ = program(sys.argv[1].split(","))
    code = ctypes.create_string_buffer(filter_, len(filter_))
    described = struct.pack("@HP", len(filter_) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.c_char_p(described), 0, 0) != 0:  # root needs no no_new_privs
        raise OSError(ctypes.get_errno(), "seccomp")
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
