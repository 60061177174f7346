"""Secrets on their way into containers: keeper (here a stand-in that speaks its side) gives the environment, and copies the logs."""
import array
import os
import socket
import struct
import time

import pytest
import sandbox as sb


class Keeper:
    def __init__(self, box, backlog=16):
        self.path = box.run / "keeper.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(str(self.path))
        self.socket.listen(backlog)
        self.socket.settimeout(10)

    def take(self):
        """One delivery: the id, and its descriptors."""
        connection, _ = self.socket.accept()
        raw, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(16 * 4))
        connection.close()
        fds = array.array("i")
        fds.frombytes(ancillary[0][2])
        return raw[4:].decode(), list(fds)

    def close(self):
        self.socket.close()
        os.unlink(self.path)


@pytest.fixture
def keeper(box):
    k = Keeper(box)
    yield k
    k.close()


def close_all(fds):
    for fd in fds:
        os.close(fd)


def test_the_environment_comes_from_keeper_and_the_plans_wins(box, keeper):
    id_ = box.boot(secrets=b"sealed", env=["PLAIN=p", "BOTH=plan"])
    who, (sealed, env, out, err, clean_out, clean_err) = keeper.take()
    assert who == id_ and os.pread(sealed, 100, 0) == b"sealed"
    os.write(env, b"TOKEN=s3cret\0BOTH=secret\0")
    os.close(env)
    i = sb.Instance(box, id_, box.connect().wait(sb.STARTED, id_))
    assert sorted(i.get("/env").split()) == ["BOTH=plan", "PLAIN=p", "TOKEN=s3cret"]
    # What the program writes goes to keeper; what keeper writes goes to edge.
    i.get("/print/line-of-the-program")
    assert os.read(out, 100) == b"line-of-the-program\n"
    os.write(clean_out, b"scrubbed\n")
    assert os.read(i.out, 100) == b"scrubbed\n"
    os.write(clean_err, b"scrubbed too\n")
    assert os.read(i.err, 100) == b"scrubbed too\n"
    i.kill()
    close_all([sealed, out, err, clean_out, clean_err])


@pytest.mark.parametrize("answer,words", [(b"\x01", "could not open"), (b"", "before it delivered"), (b"HALF=x", "half a secret"), (b"X=" + b"y" * (3 << 20), "over")],
                         ids=["refused", "nothing", "half", "too much"])
def test_a_start_without_its_secrets_fails(box, keeper, answer, words):
    id_ = box.boot(secrets=b"sealed")
    _, fds = keeper.take()
    pid = os.fork()
    if pid == 0:  # a writer of its own: more than a pipe holds
        try:
            for at in range(0, len(answer), 65536):
                os.write(fds[1], answer[at:at + 65536])
        finally:
            os._exit(0)
    os.close(fds.pop(1))
    failed = box.connect().wait(sb.START_FAILED, id_)
    assert failed["phase"] == "secrets" and words in failed["message"]
    close_all(fds)
    os.waitpid(pid, 0)


def test_without_a_keeper_the_start_fails_in_its_phase(box):
    id_ = box.boot(secrets=b"sealed")
    assert box.connect().wait(sb.START_FAILED, id_)["phase"] == "secrets"


def test_a_keeper_that_hangs_stalls_nobody_else(box):
    k = Keeper(box, backlog=0)
    other = sb.Client(box.run / "starter.sock")
    first = box.boot(client=other, secrets=b"sealed")  # waits in the queue of connections
    more = [box.boot(client=other, secrets=b"sealed") for _ in range(3)]
    began = time.monotonic()
    plain = box.up()
    assert plain.get("/hello") == "hello\n"
    assert time.monotonic() - began < 3
    failed = other.wait(sb.START_FAILED, more[-1])
    assert failed["phase"] == "secrets"
    # Nobody delivers in time: that is a failure too, not a start without secrets.
    assert "in time" in other.wait(sb.START_FAILED, first)["message"]
    other.close()
    plain.kill()
    k.close()
