"""[egress]: what functions reach with a policy of their own, under everything that may happen to the roles meanwhile."""
import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest
import sandbox as sb

UPLINK, FIRST, SECOND, NINTH, FAR = "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.9", "198.51.100.7"
OPENED, CLOSED = "10.88.5.5", "10.88.6.6"  # private: the operator opened the range of the first
PORTS = (25, 80, 443, 8000, 8100, 8101)
COUNTED = 5000  # UDP
POOL = 12  # slots kept ready, of no policy


def ip(*arguments):
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def box():
    s = sb.Sandbox(more=["--open", OPENED])
    yield s
    s.close()


@pytest.fixture(autouse=True)
def alone(box):
    """Nothing of an earlier test: no instance, no policy, and a full pool."""
    box.wait_until(lambda: parked(box) == POOL and not chains(box), "something of an earlier test stays", timeout=30)
    yield
    for id_ in box.listed():
        box.signal(id_, 1)
        box.connect().wait(sb.EXITED, id_)


class Internet:
    """A machine with all those addresses that listens on the ports, and counts datagrams by the address that they were sent to."""

    def __init__(self, name):
        self.name, self.sockets, self.datagrams = name, [], {}
        ip("netns", "add", name)
        ip("link", "add", name + "h", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", UPLINK + "/24", "dev", name + "h")
        ip("link", "set", name + "h", "up")
        for command in (["addr", "add", FIRST + "/24", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"], ["route", "add", "default", "via", UPLINK],
                        *(["addr", "add", a + "/32", "dev", "eth0"] for a in (SECOND, NINTH, FAR, OPENED, CLOSED))):
            ip("-n", name, *command)
        for address in (FAR, OPENED, CLOSED):
            ip("route", "add", address + "/32", "via", FIRST)
        self.within(self.listen)
        for s in self.sockets:
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def within(self, work):
        """Sockets belong to the network namespace of the thread that makes them."""
        def enter():
            with open(f"/run/netns/{self.name}") as namespace:
                assert ctypes.CDLL(None).setns(namespace.fileno(), 0) == 0
            work()
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()

    def listen(self):
        for port in PORTS:
            s = socket.socket()
            s.bind(("0.0.0.0", port))
            s.listen(64)
            self.sockets.append(s)
        for address in (FIRST, SECOND, NINTH):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((address, COUNTED))
            self.datagrams[address] = 0
            self.sockets.append(s)

    def serve(self, s):
        with contextlib.suppress(OSError):
            while True:
                if s.type == socket.SOCK_DGRAM:
                    _, peer = s.recvfrom(2048)
                    if not peer:
                        return  # shut down
                    self.datagrams[s.getsockname()[0]] += 1
                else:
                    threading.Thread(target=self.echo, args=(s.accept()[0],), daemon=True).start()

    @staticmethod
    def echo(connection):
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def close(self):
        for s in self.sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        subprocess.run(["ip", "netns", "del", self.name], check=False)


@pytest.fixture(scope="module")
def internet():
    outside = Internet("eg" + os.urandom(3).hex())
    yield outside
    outside.close()


def up(box, allow=(), deny=(), **options):
    return box.up(egress=sb.policy(allow, deny), **options)


def reaches(instance, *places):
    """Those of "address:port" that it connects to."""
    return [p for p in places if instance.values("/connect/{}/{}".format(*p.split(":"))).get("connected", "0") == "1"]


def pid_of(box, instance):
    address = own_address(instance)
    for pids in box.groups().values():
        for pid in pids[:1]:
            with contextlib.suppress(OSError):
                if f"-- {address}\n" in pathlib.Path(f"/proc/{pid}/net/fib_trie").read_text():
                    return pid
    raise AssertionError(f"no container has {address}")


def own_address(instance):
    lines = instance.get("/read/proc/net/fib_trie").splitlines()
    return next(line.split("-- ")[1] for line, kind in zip(lines, lines[1:]) if f"-- {sb.SUBNET}." in line and "host LOCAL" in kind)


def as_root_in(box, instance, script, **options):
    """Python in the container's network, as root of the host: the rules are asked, not the container's lack of privileges."""
    return subprocess.Popen(["nsenter", "-t", str(pid_of(box, instance)), "-n", "/usr/bin/python3", "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **options)


def table(box):
    return subprocess.run(["nft", "list", "table", "inet", box.tag], check=True, capture_output=True, text=True).stdout


def chains(box):
    return sorted(line.split()[1] for line in table(box).splitlines() if line.strip().startswith("chain policy_"))


def elements(box):
    """The addresses that have a policy."""
    words = table(box).split("map policies {")[1].split("chain ")[0].replace(",", " ").split()
    return [w for w in words if w.startswith(sb.SUBNET + ".")]


# ---- what is reached


def test_with_an_allow_list_only_that_is_reached(box, internet):
    i = up(box, allow=[FIRST + ":443", FAR, "203.0.113.0/24:8000-8100"])
    inside = [FIRST + ":443", FAR + ":80", FAR + ":443", SECOND + ":8000", NINTH + ":8100"]
    outside = [FIRST + ":80", SECOND + ":443", SECOND + ":8101", FAR + ":25"]
    assert reaches(i, *inside, *outside) == inside
    i.kill()


def test_with_a_deny_list_that_is_closed_and_the_rest_is_the_internet(box, internet):
    i = up(box, deny=[NINTH, "0.0.0.0/0:80"])
    assert reaches(i, NINTH + ":443", FIRST + ":80", FAR + ":80", FIRST + ":443", SECOND + ":8000") == [FIRST + ":443", SECOND + ":8000"]
    i.kill()


def test_deny_wins_over_allow(box, internet):
    i = up(box, allow=["203.0.113.0/24"], deny=[NINTH, SECOND + ":443"])
    assert reaches(i, FIRST + ":443", NINTH + ":443", SECOND + ":443", SECOND + ":80", FAR + ":443") == [FIRST + ":443", SECOND + ":80"]
    i.kill()


def test_nothing_is_reached_when_all_is_denied(box, internet):
    i = up(box, deny=["0.0.0.0/0"])
    assert reaches(i, FIRST + ":443", FAR + ":80") == []
    i.kill()


def test_a_policy_opens_nothing_that_the_platform_closes(box, internet):
    """Whatever a plan says: the operator opened one address, and mail to no one. Only who names that address reaches it."""
    everything = up(box, allow=["0.0.0.0/0"])
    assert reaches(everything, FIRST + ":443", OPENED + ":443", CLOSED + ":443", FIRST + ":25", UPLINK + ":443") == [FIRST + ":443"]
    everything.kill()
    named = up(box, allow=[OPENED + ":443", CLOSED, FIRST + ":25", OPENED + ":25", UPLINK])
    assert reaches(named, OPENED + ":443", OPENED + ":80", CLOSED + ":443", FIRST + ":25", OPENED + ":25", FIRST + ":443") == [OPENED + ":443"]
    named.kill()
    plain = box.up()
    assert reaches(plain, OPENED + ":443", FIRST + ":443") == [FIRST + ":443"]
    plain.kill()


def test_protocols_are_told_apart(box, internet):
    i = up(box, allow=[f"udp/{FIRST}:{COUNTED}", f"tcp/{SECOND}", f"tcp/{FIRST}:80"])
    assert reaches(i, FIRST + ":80", SECOND + ":443") == [FIRST + ":80", SECOND + ":443"]
    send = "import socket\ns=socket.socket(2, 2)\nfor _ in range(3): [s.sendto(b'x', (a, %d)) for a in ('%s', '%s', '%s')]" % (COUNTED, NINTH, SECOND, FIRST)
    before = dict(internet.datagrams)
    assert as_root_in(box, i, send).wait(20) == 0
    box.wait_until(lambda: internet.datagrams[FIRST] == before[FIRST] + 3, "UDP that is allowed does not come")
    assert (internet.datagrams[SECOND], internet.datagrams[NINTH]) == (before[SECOND], before[NINTH])
    i.kill()


def test_functions_have_each_their_own(box, internet):
    first, second, plain = up(box, allow=[FIRST]), up(box, allow=[SECOND]), box.up()
    places = [FIRST + ":443", SECOND + ":443"]
    assert [reaches(i, *places) for i in (first, second, plain)] == [places[:1], places[1:], places]
    for i in (first, second, plain):
        i.kill()


def test_an_address_that_is_forged_brings_no_other_policy(box, internet):
    held, plain = up(box, allow=[FIRST]), box.up()
    send = ("import socket\ns=socket.socket(2, 2); s.setsockopt(0, 19, 1); s.bind(('%s', 0))\n[s.sendto(b'x', (a, {})) for a in ('{}', '{}') for _ in range(3)]"
            .format(COUNTED, SECOND, FIRST))
    before = dict(internet.datagrams)
    assert as_root_in(box, held, send % own_address(plain)).wait(20) == 0  # to what only the other may reach
    assert as_root_in(box, plain, send % own_address(held)).wait(20) == 0
    assert as_root_in(box, held, send % own_address(held)).wait(20) == 0  # CONTROL: its own goes where it may
    box.wait_until(lambda: internet.datagrams[FIRST] == before[FIRST] + 3, "its own packets do not come")
    assert internet.datagrams[SECOND] == before[SECOND]
    held.kill()
    plain.kill()


# ---- what becomes of it


def test_equal_policies_share_a_chain_and_leave_nothing(box):
    one, same, other = up(box, allow=[FIRST, SECOND]), up(box, allow=[SECOND, FIRST]), up(box, allow=[FIRST])
    assert len(chains(box)) == 2 and len(elements(box)) >= 3
    assert {own_address(i) for i in (one, same, other)} <= set(elements(box))
    assert len(list((box.run / "egress").iterdir())) == 2
    for i in (one, same, other):
        i.kill()
    box.wait_until(lambda: not elements(box) and not chains(box) and not list((box.run / "egress").iterdir()), "a policy that nobody has stays")


def ask_filler(box):
    """It has come up, and is between two slots: it answers. Its socket takes connections before."""
    client = sb.Client(box.run / "filler.sock")
    client.send(b"\x02" + sb.text("sha256:" + "a" * 64))
    client.socket.settimeout(10 * sb.SLOW)
    assert client.socket.recv(4096)[:2] == b"\x01\x01"
    client.close()


def restart_filler(box):
    box.kill("filler")
    box.start("filler")
    ask_filler(box)


def hammer(box, instance, *addresses):
    """Sends a datagram to each address every millisecond, until its input ends."""
    return as_root_in(box, instance, "import select, socket, sys\ns=socket.socket(2, 2)\nwhile not select.select([sys.stdin], [], [], 0.001)[0]:\n"
                      "  for a in %r:\n    try: s.sendto(b'x', (a, %d))\n    except OSError: pass\n" % (addresses, COUNTED))


def test_a_restart_of_filler_opens_nothing_and_closes_nothing(box, internet):
    i, plain = up(box, allow=[FIRST]), box.up()
    connected = as_root_in(box, i, "import socket, sys\ns=socket.create_connection(('%s', 443))\nprint('up', flush=True)\nfor line in sys.stdin:\n  s.sendall(line.encode()); print(s.recv(99).decode(), end='', flush=True)" % FIRST)
    assert connected.stdout.readline() == "up\n"
    before = dict(internet.datagrams)
    sender = hammer(box, i, NINTH, FIRST)
    for _ in range(5):
        box.kill("filler")
        now = internet.datagrams[FIRST]
        box.wait_until(lambda now=now: internet.datagrams[FIRST] > now + 10, "what is allowed is closed while filler is away")
        box.start("filler")
        ask_filler(box)
        now = internet.datagrams[FIRST]
        box.wait_until(lambda now=now: internet.datagrams[FIRST] > now + 10, "what is allowed is closed after filler's restart")
    sender.stdin.close()
    assert sender.wait(20) == 0
    assert internet.datagrams[NINTH] == before[NINTH], "what is closed was open for a moment"
    connected.stdin.write("still there\n")
    connected.stdin.flush()
    assert connected.stdout.readline() == "still there\n"
    connected.stdin.close()
    connected.wait(20)
    assert reaches(i, FIRST + ":443", SECOND + ":443") == [FIRST + ":443"]
    assert reaches(plain, SECOND + ":443") == [SECOND + ":443"]
    again = up(box, allow=[FIRST])
    assert len(chains(box)) == 1  # what was found is used further
    assert reaches(again, FIRST + ":443", SECOND + ":443") == [FIRST + ":443"]
    for x in (i, plain, again):
        x.kill()


@pytest.mark.parametrize("damage", ["missing", "damaged", "empty"])
def test_a_policy_that_is_lost_closes(box, internet, damage):
    i = up(box, allow=[FIRST])
    box.kill("filler")
    for file in (box.run / "egress").iterdir():
        if damage == "missing":
            file.unlink()
        else:
            file.write_bytes(b"" if damage == "empty" else b"\xff" * 20)
    box.start("filler")
    ask_filler(box)
    assert reaches(i, FIRST + ":443") == []
    # Its number is given to nobody else: no later filler takes another policy for its own.
    other = up(box, allow=[SECOND])
    restart_filler(box)
    assert reaches(i, SECOND + ":443", FIRST + ":443") == []
    assert reaches(other, SECOND + ":443", FIRST + ":443") == [SECOND + ":443"]
    i.kill()
    other.kill()


def test_a_restart_of_starter_changes_nothing(box, internet):
    """Not even whom edge takes a call from that address for."""
    i = up(box, allow=[FIRST])
    address = own_address(i)
    assert socket.inet_ntoa(i.started["address"].to_bytes(4, "big")) == address
    box.kill("starter")
    box.start("starter")
    box.reconnect()
    box.wait_until(lambda: i.id in box.listed(), "the instance is lost")
    box.connect().send(sb.struct.pack("<BQ", sb.LIST, 12))
    assert socket.inet_ntoa(box.connect().wait(sb.LISTED, i.id)["address"].to_bytes(4, "big")) == address
    box.connect().wait(sb.DONE)
    assert reaches(i, FIRST + ":443", SECOND + ":443") == [FIRST + ":443"]
    box.signal(i.id, 1)
    box.connect().wait(sb.EXITED, i.id)


# ---- ahead of need


def parked(box):
    return sum(len(pids) == 2 for pids in box.groups().values())


@contextlib.contextmanager
def filler_stopped(box):
    """Stopped between two slots, not within one: it has answered something after the last."""
    ask_filler(box)
    os.kill(box.processes["filler"].pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(box.processes["filler"].pid, signal.SIGCONT)


def test_slots_of_the_policies_that_edge_names_are_ready(box, internet):
    wanted = sb.policy(allow=[FIRST])
    box.wait_until(lambda: parked(box) == POOL, "the pool is not full")
    box.keep_policies(wanted)
    box.wait_until(lambda: parked(box) == POOL + 2 and len(elements(box)) == 2, "no slots of the policy are made")
    with filler_stopped(box):
        instances = [box.up(egress=wanted) for _ in range(2)]
        assert all(reaches(i, FIRST + ":443", SECOND + ":443") == [FIRST + ":443"] for i in instances)
    for i in instances:
        i.kill()
    box.wait_until(lambda: parked(box) == POOL + 2, "the slots are not made again")
    box.keep_policies()
    box.wait_until(lambda: parked(box) == POOL and not elements(box), "slots of a policy that nobody names stay")


def test_what_is_kept_ready_is_bounded(box):
    """2 of each policy, 32 of all; more than the bound of a list is refused."""
    many = [sb.policy(allow=[f"203.0.113.{n}"]) for n in range(100, 120)]
    box.keep_policies(*many, many[0])
    box.wait_until(lambda: len(chains(box)) == 16 and parked(box) == POOL + 32, "not 32 slots", timeout=30)
    late = box.up(egress=many[-1])  # one that has none waits for it
    late.kill()
    fd = sb.memfd(sb.struct.pack("<I", 65) + sb.text(many[0]) * 65)
    box.connect().send(sb.struct.pack("<BQ", sb.KEEP_POLICIES, 10), [fd])
    os.close(fd)
    assert box.connect().wait(sb.REFUSED)["request"] == 10
    box.keep_policies()
    box.wait_until(lambda: parked(box) == POOL and not chains(box), "they stay", timeout=30)


def test_a_start_that_no_slot_comes_for_fails_and_the_others_go_on(box):
    with filler_stopped(box):
        client = sb.Client(box.run / "starter.sock")
        held = box.boot(client=client, egress=sb.policy(deny=[FIRST]))
        plain = box.boot(client=client)
        started = client.wait(sb.STARTED, plain)
        failed = client.wait(sb.START_FAILED, held, timeout=15)
        assert failed["phase"] == "slot"
    box.signal(plain, 1)
    client.wait(sb.EXITED, plain)
    for fd in started["fds"]:
        os.close(fd)
    client.close()


def test_a_spare_has_the_policy_of_the_instance_that_it_becomes(box, internet):
    code = "b" * 64
    top = box.state / "layers" / code
    (top / "app").mkdir(parents=True)
    for path in [top, *top.rglob("*")]:
        os.chown(path, sb.LAYER_ID_BASE, sb.LAYER_ID_BASE)
    (box.state / "layers" / (code + ".meta")).write_text("/app 1 1\n")
    options = {"layers": [box.layer, "sha256:" + code], "runtime_layers": 1}
    box.keep_spares(1, egress=sb.policy(allow=[FIRST]))

    def waiting():
        found = []
        for pids in box.groups().values():
            for pid in pids:
                with contextlib.suppress(OSError):
                    found += [pid] if pathlib.Path(f"/proc/{pid}/syscall").read_text().split()[:2] == ["0", "0x5"] else []
        return found
    box.wait_until(waiting, "no spare of the policy comes up")
    for other in (b"", sb.policy(allow=[SECOND])):
        i = box.up(egress=other, **options)
        assert not i.started["prestarted"]
        i.kill()
    i = up(box, allow=[FIRST], **options)
    assert i.started["prestarted"]
    assert reaches(i, FIRST + ":443", SECOND + ":443") == [FIRST + ":443"]
    i.kill()
    box.keep_spares(0, egress=sb.policy(allow=[FIRST]))
    box.wait_until(lambda: parked(box) == POOL, "the spare stays")


# ---- who may ask


@pytest.mark.parametrize("bad", [b"\x00\x00", b"x", sb.policy(allow=[FIRST])[:-1], sb.policy(allow=[FIRST]) + b"\x00",
                                 sb.policy(allow=["203.0.113.0/24"]).replace(b"\x18", b"\x08"),  # bits beyond the prefix
                                 sb.policy(allow=[FIRST, "203.0.113.0/24"]),                     # one covers the other
                                 sb.policy(allow=[f"203.0.113.{n}" for n in range(65)])],
                         ids=["empty lists", "short", "cut", "more", "host bits", "covered", "65 rules"])
def test_what_is_no_policy_is_refused(box, bad):
    id_ = box.boot(egress=bad)
    assert "policy" in (m := box.connect().wait(sb.REFUSED))["message"] or "plan" in m["message"], id_
    client = sb.Client(box.run / "filler.sock")
    client.send(b"\xff" + sb.struct.pack("<I", 1) + sb.text(bad))
    client.send(b"\x02" + sb.text("sha256:" + "a" * 64))
    assert client.socket.recv(4096)[:2] == b"\x01\x01"  # the answer to the second
    client.close()


def test_neither_control_nor_a_job_has_policies(box):
    client = box.connect()
    fd = sb.memfd(sb.plan(sb.new_id(), [box.layer], ["/app/probe"], network=0, egress=sb.policy(deny=[FIRST])))
    client.send(sb.struct.pack("<BQ", sb.START, 7), [fd])
    assert "without a network" in client.wait(sb.REFUSED)["message"]
    os.close(fd)


# ---- IPv6


def test_ipv6_stays_closed(box, internet):
    i = box.up()
    for name in ("eth0", "all", "default"):
        assert i.values(f"/write/proc/sys/net/ipv6/conf/{name}/disable_ipv6")["errno"] in ("13", "30")
    interface = next(line.split()[2] for line in ip("route", "show", own_address(i)).splitlines() if box.tag in line)
    attempt = ("import pathlib, socket, subprocess, sys\npathlib.Path('/proc/sys/net/ipv6/conf/eth0/disable_ipv6').write_text('0')\n"
               "subprocess.run(['ip', 'addr', 'add', 'fe80::77/64', 'dev', 'eth0', 'nodad'], check=False)\n"
               "s=socket.socket(10, 1); s.settimeout(2)\n"
               "try: s.connect(('fe80::1', int(sys.argv[1]), 0, socket.if_nametoindex('eth0'))); print('connected')\nexcept OSError as e: print('no')\n")

    def tries():
        return subprocess.run(["nsenter", "-t", str(pid_of(box, i)), "-n", "/usr/bin/python3", "-c", attempt, str(port)], capture_output=True, text=True).stdout
    with socket.socket(socket.AF_INET6) as listener:
        listener.bind(("::", 0))
        listener.listen()
        port = listener.getsockname()[1]
        host = pathlib.Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6")
        assert host.read_text() == "1\n"
        assert tries() == "no\n"  # root inside may switch it on: the host's end does not answer
        host.write_text("0")
        ip("addr", "add", "fe80::1/64", "dev", interface, "nodad")
        assert tries() == "no\n"  # nor do the rules let it in
        # CONTROL: without them it connects.
        handles = []
        try:
            for chain in ("incoming", "spoofed"):
                made = subprocess.run(["nft", "-e", "-a", "insert", "rule", "inet", box.tag, chain, "accept"], check=True, capture_output=True, text=True).stdout
                handles.append((chain, made.split("# handle ")[1].split()[0]))
            assert tries() == "connected\n"
        finally:
            for chain, handle in handles:
                subprocess.run(["nft", "delete", "rule", "inet", box.tag, chain, "handle", handle], check=True)
    i.kill()


# ---- bandwidth


TRANSFER = 20 << 20


def seconds_of(script, box, instance):
    process = as_root_in(box, instance, script)
    out, _ = process.communicate(timeout=120)
    return float(out)


def test_what_a_container_sends_and_receives_has_a_rate(internet):
    """40 Mbit/s, and a second of it at once: 20 MB take 3 s each way."""
    sink = socket.socket()
    stop = threading.Event()

    def serve():
        while not stop.is_set():
            try:
                connection, _ = sink.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                if connection.recv(1) == b"d":
                    connection.sendall(bytes(TRANSFER))
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(1)
                else:
                    while connection.recv(1 << 20):
                        pass

    def listen():
        nonlocal sink
        sink.close()
        sink = socket.socket()
        sink.bind((FIRST, 9000))
        sink.listen()
    internet.within(listen)
    threading.Thread(target=serve, daemon=True).start()
    box = sb.Sandbox(more=["--bandwidth-mbit", "40"])
    try:
        i = box.up()
        begin = "import socket, time\ns=socket.create_connection(('%s', 9000)); t=time.monotonic()\n" % FIRST
        send = begin + "s.sendall(b'u' + bytes(%d)); s.shutdown(1); s.recv(1)\nprint(time.monotonic() - t)" % TRANSFER
        receive = begin + "s.sendall(b'd'); n=0\nwhile n < %d: n += len(s.recv(1 << 20))\nprint(time.monotonic() - t)" % TRANSFER
        least = (TRANSFER * 8 - 41e6) / 41e6  # a kilobyte of nft has 1024
        for script in (send, receive):
            capped = seconds_of(script, box, i)
            print("capped", capped)
            assert least * 0.9 < capped < least * 6, capped
        # CONTROL: without those rules it takes a fraction.
        for chain, script in (("sending", send), ("receiving", receive)):
            subprocess.run(["nft", "insert", "rule", "inet", box.tag, chain, "accept"], check=True)
            assert seconds_of(script, box, i) < least * 0.5
        i.kill()
    finally:
        stop.set()
        sink.shutdown(socket.SHUT_RDWR)
        sink.close()
        box.close()
