"""A running starter among hostile clients of both roles at once: it stays, serves those who ask for what they may, gives nobody anything else, and keeps nothing.
FUZZ_TIME=SECONDS is `make fuzz` and `make soak`; CI sends a fixed number of messages."""
import json
import os
import subprocess
import time

import pytest
import sandbox as sb
from fuzz_starter import CONTROL, EDGE, Hostile, may_start
from test_cycles import GROWTH_KB, POOL, anonymous_kb, settled
from test_scratch import Box

MESSAGES = int(2000 // sb.SLOW)  # of each role
SECONDS = int(os.environ.get("FUZZ_TIME", "0"))
SEED = os.environ.get("FUZZ_SEED", "20261127")
USERS = {EDGE: 61001, CONTROL: 61002}


class NoDisks(Box):
    more = ["--max-scratch-total-mb", "1"]  # less than one takes: of every size that is asked for some would be kept ready: counts would differ


@pytest.fixture(scope="module")
def box():
    b = NoDisks()
    b.keep_spares(1)
    yield b
    b.close()


def begin(box, role, messages, seconds, seed):
    """A process with that role's user; its findings and counts come as one line of its pipe."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            os.setgid(USERS[role])
            os.setuid(USERS[role])
            end = time.monotonic() + seconds
            hostile = Hostile(box.run / "starter.sock", box.layer, role, seed)
            hostile.run(messages, (lambda: time.monotonic() > end) if seconds else None)
            os.write(write, json.dumps({"findings": hostile.findings, **hostile.counts}).encode())
        finally:
            os._exit(0)
    os.close(write)
    return pid, read


def attack(box, messages, seconds, seed):
    begun = {role: begin(box, role, messages, seconds, seed) for role in USERS}
    seen = {}
    for role, (pid, read) in begun.items():
        with os.fdopen(read) as pipe:
            seen[role] = json.loads(pipe.read() or '{"findings": ["it ended early"]}')
        os.waitpid(pid, 0)
    return seen


def table_of(box):
    return subprocess.run(["nft", "list", "table", "inet", box.tag], capture_output=True, text=True, check=True).stdout


def end_all(box):
    """What hostile clients left running: instances that were never listed to anyone who ends them."""
    client = box.reconnect()

    def none_is_left():
        left = box.listed()  # some begin to run only now: whoever asked for them has gone
        for id_ in left:
            box.signal(id_, 1)
        return not left
    box.wait_until(none_is_left, "instances stay", 60)
    client.pending.clear()
    box.keep_spares(1)
    seen = []

    def pool_is_ordinary():
        """What a burst made filler make is kept, and used up before more are made; some of it comes late."""
        seen.append(len(box.groups()))
        if seen[-1] > POOL:
            i = box.up()
            i.kill()
            for fd in (i.out, i.err, i.status, i.cpu):
                os.close(fd)
        return seen[-30:] == 30 * [POOL]
    box.wait_until(pool_is_ordinary, seen, 60)
    box.wait_until(lambda: "chain policy_" not in table_of(box), "a policy that no slot has stays in the table", 20)


def test_the_model_takes_what_is_asked_in_earnest_and_nothing_else(box):
    """Of the fuzzer's own judgement: it is worth nothing if it calls everything wrong, or nothing."""
    for role in (EDGE, CONTROL):
        hostile = Hostile(box.run / "starter.sock", box.layer, role, 0)
        for _ in range(20):
            id_, raw = hostile.good_plan()
            fds = 4 if role == CONTROL else 1
            assert may_start(role, raw, fds) is None
            assert may_start(EDGE if role == CONTROL else CONTROL, raw, fds) == "kind"
            assert may_start(role, raw, fds + 1) == "descriptors"
            assert may_start(role, raw[:-1], fds) in ("too short", "text") and may_start(role, raw + b"\0", fds) == "more than a plan"
            assert may_start(role, raw.replace(b"\x05", b"\x04", 1), fds) == "version"
            if role == EDGE:
                assert may_start(role, raw.replace(b"i-" + id_[14:].encode(), b"i-" + b"0" * 12), fds) == "its host name"
                assert may_start(role, raw.replace(b"/app\x0e", b"/etc\x0e"), fds) == "an instance's folder"


def test_hostile_clients_get_nothing_and_leave_nothing(box):
    # Until pools and allocators are as they stay.
    attack(box, MESSAGES // 8, 0, "warm-up")
    box.connect().wait(sb.START_FAILED, box.boot(disk=True))  # starter has asked for a disk, too
    end_all(box)
    before = settled(box, disks=0)
    memory = {name: anonymous_kb(process.pid) for name, process in box.processes.items()}
    began = time.monotonic()
    seen = attack(box, 1 << 60 if SECONDS else MESSAGES, SECONDS, SEED)
    took = time.monotonic() - began
    for role, counts in seen.items():
        assert not counts["findings"], counts["findings"][:3]
        assert counts["refused"] > counts["sent"] // 4 and counts["started"] > MESSAGES // 400, (role, counts)  # both kinds of answer were met
    assert all(process.poll() is None for process in box.processes.values()), "a role died"
    end_all(box)
    after = []
    box.wait_until(lambda: after.append(settled(box, disks=0)) or after[-1] == before, [before, after], 20)
    grown = {name: anonymous_kb(process.pid) - memory[name] for name, process in box.processes.items()}
    print(f"{took:.0f} s: {seen}, memory {memory} KB grown by {grown}")
    assert all(kb <= GROWTH_KB for kb in grown.values()), grown
    i = box.up()
    assert i.get("/hello") == "hello\n"
    i.kill()
