"""Who may ask for what, and what malformed or hostile messages can do: nothing."""
import os
import struct

import pytest
import sandbox as sb

FOREIGN, EDGE, CONTROL = 61009, 61001, 61002


def as_user(uid, work):
    """Runs `work` in a child with that uid; its result must be true."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            os.setgid(uid)
            os.setuid(uid)
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def refusal(box, fds, words=""):
    client = sb.Client(box.run / "starter.sock")
    client.send(struct.pack("<BQ", sb.START, 3), fds)
    answer = client.receive(5)
    client.close()
    return answer["type"] == sb.REFUSED and answer["request"] == 3 and words in answer["message"]


@pytest.mark.parametrize("socket_name", ["starter", "filler", "reaper"])
def test_strangers_are_refused(box, socket_name):
    def knock():
        client = sb.Client(box.run / f"{socket_name}.sock")
        try:
            client.send(struct.pack("<BQ", sb.LIST, 1))
            client.receive(5)
        except ConnectionError:
            return True
    assert as_user(FOREIGN, knock)


def test_only_root_talks_to_reaper(box):
    def knock():
        client = sb.Client(box.run / "reaper.sock")
        try:
            client.send(b"x")
            client.receive(5)
        except ConnectionError:
            return True
    assert as_user(EDGE, knock) and as_user(CONTROL, knock)


def test_edge_gets_no_layers_and_control_no_slots(box):
    def ask_layer():
        client = sb.Client(box.run / "filler.sock")
        try:
            client.send(struct.pack("<B", 2) + sb.text(box.layer))
            client.receive(5)
        except ConnectionError:
            return True
    assert as_user(EDGE, ask_layer)

    def ask_slot():
        client = sb.Client(box.run / "filler.sock")
        client.send(struct.pack("<BII", 255, 3, 0))
        raw, ancillary, _, _ = client.socket.recvmsg(4096, 1024)
        return not ancillary and raw[0] == 0  # a LayerDone that is not ok
    assert as_user(CONTROL, ask_slot)


def test_edge_may_not_start_jobs(box):
    null = os.open("/dev/null", os.O_RDWR)
    fd = sb.memfd(sb.plan(sb.new_id(), [box.layer], ["/app/probe"], kind=1, transport=0))
    assert as_user(EDGE, lambda: refusal(box, [fd, null, null, null], "may not"))
    os.close(null), os.close(fd)


def test_control_may_not_start_instances(box):
    fd = sb.memfd(sb.plan(sb.new_id(), [box.layer], ["/app/probe"]))
    assert as_user(CONTROL, lambda: refusal(box, [fd], "may not"))
    os.close(fd)


def test_control_has_no_power_over_instances(box):
    i = box.up()

    def try_all():
        client = sb.Client(box.run / "starter.sock")
        client.send(struct.pack("<B", sb.SIGNAL) + sb.text(i.id) + struct.pack("<B", 1))
        client.send(struct.pack("<BQ", sb.SET_FROZEN, 1) + sb.text(i.id) + struct.pack("<B", 1))
        frozen = client.receive(5)
        client.send(struct.pack("<BQ", sb.LIST, 2))
        return frozen["type"] == sb.REFUSED and client.receive(5)["type"] == sb.DONE
    assert as_user(CONTROL, try_all)
    assert i.get("/hello") == "hello\n"
    i.kill()


@pytest.mark.parametrize("what", ["pipe", "file", "unsealed", "half sealed", "too long"])
def test_a_plan_that_is_not_a_sealed_memfd_is_refused_at_once(box, what):
    plan = sb.plan(sb.new_id(), [box.layer], ["/app/probe"])
    fds = {"pipe": lambda: os.pipe()[0], "file": lambda: os.open("/etc/passwd", os.O_RDONLY), "unsealed": lambda: sb.memfd(plan, seals=0),
           "half sealed": lambda: sb.memfd(plan, seals=0x1 | 0x2), "too long": lambda: sb.memfd(plan + b"x" * (1 << 20))}
    fd = fds[what]()
    assert refusal(box, [fd], "limit" if what == "too long" else "sealed")
    os.close(fd)


@pytest.mark.parametrize("path,flags", [("/", os.O_RDONLY | os.O_DIRECTORY), ("/etc/passwd", os.O_PATH)])
def test_a_job_gets_no_folder_and_no_handle_of_the_host(box, path, flags):
    fd = sb.memfd(sb.plan(sb.new_id(), [box.layer], ["/app/probe", "wait"], kind=1, transport=0))
    null, bad = os.open("/dev/null", os.O_RDWR), os.open(path, flags)
    assert refusal(box, [fd, bad, null, null], "must be pipes")
    os.close(null), os.close(bad), os.close(fd)


def test_descriptors_are_counted(box):
    null = os.open("/dev/null", os.O_RDWR)
    fd = sb.memfd(sb.plan(sb.new_id(), [box.layer], ["/app/probe"]))
    assert refusal(box, [], "without a plan") and refusal(box, [fd, null], "expected 1")
    os.close(null), os.close(fd)


def test_one_id_is_one_container(box):
    i = box.up()
    fd = sb.memfd(sb.plan(i.id, [box.layer], ["/app/probe"]))
    assert refusal(box, [fd], "exists")
    os.close(fd)
    i.kill()


@pytest.mark.parametrize("garbage", [b"\x00", b"\xff" * 50, struct.pack("<BQ", 0, 1), b"\x01" + b"x" * 40000])
def test_garbage_is_refused_and_harms_nobody(box, garbage):
    client = sb.Client(box.run / "starter.sock")
    client.send(garbage)
    assert client.receive()["type"] == sb.REFUSED
    client.close()
    i = box.up()
    assert i.get("/hello") == "hello\n"
    i.kill()


def test_a_client_that_reads_late_gets_everything(box):
    up = [box.up() for _ in range(5)]
    client = sb.Client(box.run / "starter.sock")
    for request in range(60):  # 360 answers, more than a socket holds
        client.send(struct.pack("<BQ", sb.LIST, request))
    assert box.up().kill()  # others are served meanwhile
    for request in range(60):
        seen = set()
        while (m := client.receive())["type"] == sb.LISTED:
            seen.add(m["id"])
            assert m["request"] == request and len(m["fds"]) == 5
            for fd in m["fds"]:
                os.close(fd)
        assert m["type"] == sb.DONE and {i.id for i in up} <= seen
    client.close()
    for i in up:
        i.kill()


def test_the_number_of_connections_is_bounded(box):
    box.connect()
    clients = [sb.Client(box.run / "starter.sock") for _ in range(300)]
    refused = 0
    for client in clients:
        try:
            client.send(struct.pack("<BQ", sb.LIST, 1))
            client.receive(5)
        except (ConnectionError, BrokenPipeError):
            refused += 1
    assert 0 < refused < 60
    for client in clients:
        client.close()
    i = box.up()
    assert i.get("/hello") == "hello\n"
    i.kill()
