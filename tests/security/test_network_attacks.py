"""What containers reach over the network, and whom they can say to be. Everything that is attacked is on this machine: addresses of a network
namespace that plays the internet (and, under its private addresses, a company's network and a cloud's metadata service), and of the host."""
import contextlib
import os
import pathlib
import socket
import subprocess
import threading

import hostile
import pytest

OUTSIDE, UPLINK = "198.51.100.2", "198.51.100.1"  # TEST-NET-2
RESOLVER = "10.88.0.53"
PRIVATE = ["10.88.0.1", "172.16.77.1", "192.168.77.1", "100.64.77.1", "100.100.100.200", "169.254.169.254", "169.254.170.2", "192.0.0.192", "198.18.77.1"]
TABLE = "9177"


def ip(*arguments):
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


class Internet:
    """A machine outside that has all the addresses above, answers on every port of interest, and notes who asked."""

    def __init__(self, name):
        self.name, self.seen, self.questions, self.sockets = name, [], [], []
        ip("netns", "add", name)
        ip("link", "add", name + "h", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", UPLINK + "/30", "dev", name + "h")
        ip("link", "set", name + "h", "up")
        for address in [OUTSIDE + "/30", RESOLVER + "/32", *(a + "/32" for a in PRIVATE)]:
            ip("-n", name, "addr", "add", address, "dev", "eth0")
        for command in (["link", "set", "eth0", "up"], ["link", "set", "lo", "up"], ["route", "add", "default", "via", UPLINK]):
            ip("-n", name, *command)
        for address in [*PRIVATE, RESOLVER]:
            ip("route", "add", address + "/32", "via", OUTSIDE, "table", TABLE)
        maker = threading.Thread(target=self._make)
        maker.start()
        maker.join()
        for s in self.sockets:
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _make(self):
        """Sockets belong to the network namespace of the thread that makes them."""
        with open(f"/run/netns/{self.name}") as namespace:
            assert __import__("ctypes").CDLL(None).setns(namespace.fileno(), 0) == 0
        for kind, port in [(socket.SOCK_STREAM, 25), (socket.SOCK_STREAM, 80), (socket.SOCK_STREAM, 53), (socket.SOCK_DGRAM, 53), (socket.SOCK_DGRAM, 80)]:
            s = socket.socket(socket.AF_INET, kind)
            # A datagram's answer has to come from the address that was asked.
            s.bind((RESOLVER if (kind, port) == (socket.SOCK_DGRAM, 53) else "0.0.0.0", port))
            if kind == socket.SOCK_STREAM:
                s.listen(128)
            self.sockets.append(s)

    def _serve(self, s):
        with contextlib.suppress(OSError):
            while True:
                if s.type == socket.SOCK_DGRAM:
                    data, peer = s.recvfrom(65536)
                    if not peer:
                        return  # shut down
                    self.questions.append((peer[0], data))
                    s.sendto(data[:2] + b"\x81\x80" + data[4:], peer)
                else:
                    connection, peer = s.accept()
                    self.seen.append(peer[0])
                    connection.close()

    @contextlib.contextmanager
    def private_routes(self, interfaces):
        """Packets from these interfaces find the private addresses outside: only the rules are between them."""
        for interface in interfaces:
            ip("rule", "add", "iif", interface, "lookup", TABLE, "pref", TABLE)
        try:
            yield
        finally:
            for interface in interfaces:
                ip("rule", "del", "iif", interface, "lookup", TABLE)

    def close(self):
        for s in self.sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        subprocess.run(["ip", "route", "flush", "table", TABLE], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], check=False)


@pytest.fixture(scope="module")
def internet():
    if os.geteuid() != 0:
        pytest.skip("makes network namespaces: needs root")
    outside = Internet("at" + os.urandom(3).hex())
    yield outside
    outside.close()


@pytest.fixture(scope="module")
def box(internet):
    """As the module's, with a way to a resolver outside under a private address, as the host has one."""
    b = hostile.Box()
    ip("route", "add", RESOLVER + "/32", "via", OUTSIDE)
    yield b
    ip("route", "del", RESOLVER + "/32")
    b.close()


@pytest.fixture(scope="module")
def pair(box):
    first, second = box.attacker(), box.attacker()
    assert second.tries("listen", 8081) == {"tcp": "ok", "udp": "ok"}
    return first, second


@contextlib.contextmanager
def without_barrier(box, chain):
    """CONTROL: the same table with one chain that lets everything pass."""
    made = subprocess.run(["nft", "-e", "-a", "insert", "rule", "inet", box.tag, chain, "accept"], check=True, capture_output=True, text=True).stdout
    handle = made.split("# handle ")[1].split()[0]
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "rule", "inet", box.tag, chain, "handle", handle], check=True)


def address(attacker):
    lines = attacker.text("print", "/proc/net/fib_trie").splitlines()
    return next(line.split("-- ")[1] for line, kind in zip(lines, lines[1:]) if f"-- {hostile.SUBNET}." in line and "host LOCAL" in kind)


def interface(attacker):
    words = ip("route", "show", address(attacker)).split()
    return words[words.index("dev") + 1]


def reach(attacker, *pairs):
    return attacker.tries("connect", *(word for pair in pairs for word in pair))


def all_of(answer, pairs):
    return {f"{a} {p}": answer for a, p in pairs}


# ---- where to


def test_the_internet_is_there(internet, box, pair):
    """Without this the rest would prove nothing."""
    assert reach(pair[0], (OUTSIDE, 80)) == {f"{OUTSIDE} 80": "ok"}
    box.wait_until(lambda: internet.seen, "nobody was accepted")
    assert internet.seen[-1] == UPLINK


def test_private_link_local_and_metadata_addresses(internet, box, pair):
    first, _ = pair
    targets = [(a, 80) for a in PRIVATE]
    with internet.private_routes([interface(first)]):
        assert reach(first, *targets) == all_of("ETIMEDOUT", targets)
        assert set(first.tries("ask", *(w for a, _ in targets for w in (a, 80, "00"))).values()) == {"ETIMEDOUT"}
        # The same addresses written as IPv6's, where a list of IPv4 ranges might not be asked.
        mapped = [("::ffff:" + a, 80) for a in PRIVATE]
        assert reach(first, *mapped) == all_of("ETIMEDOUT", mapped)
        with without_barrier(box, "outbound"):
            assert reach(first, *targets, *mapped) == all_of("ok", [*targets, *mapped])


def test_ipv6_leads_nowhere(pair):
    first, _ = pair
    targets = [("fd00:ec2::254", 80), ("2001:db8::1", 80), ("fe80::1", 80), ("ff02::1", 80), ("64:ff9b::a9fe:a9fe", 80), ("2002:a9fe:a9fe::1", 80)]
    assert set(reach(first, *targets).values()) <= {"ENETUNREACH", "EADDRNOTAVAIL", "EINVAL"}
    assert set(first.tries("ask", *(w for a, p in targets for w in (a, p, "00"))).values()) <= {"ENETUNREACH", "EADDRNOTAVAIL"}


def settings_of_ipv6(interface):
    return pathlib.Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6")


def test_ipv6_that_is_switched_on_is_stopped_by_the_rules(box):
    """Barriers fewer: with IPv6 on at both ends of the link, addresses and a route, the rules are what is left between a container and the host."""
    first = box.attacker()
    link, inside = interface(first), inside_as_root(first)
    if not settings_of_ipv6(link).exists():
        pytest.skip("this machine has no IPv6")
    settings_of_ipv6(link).write_text("0")
    ip("addr", "add", "fd00:77::1/64", "dev", link, "nodad")
    subprocess.run([*inside, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6 && ip addr add fd00:77::2/64 dev eth0 nodad && ip route add default via fd00:77::1 dev eth0"],
                   check=True)
    with socket.socket(socket.AF_INET6) as listener:
        listener.bind(("::", 0))
        listener.listen()
        port = listener.getsockname()[1]
        targets = [("fd00:77::1", port), ("fd00:ec2::254", 80), ("2001:db8::1", 80)]
        assert reach(first, *targets) == all_of("ETIMEDOUT", targets)
        assert first.tries("ask", "fd00:77::1", port, "00", "ff02::1", port, "00") == {f"fd00:77::1 {port}": "ETIMEDOUT", f"ff02::1 {port}": "ETIMEDOUT"}
        with without_barrier(box, "incoming"):  # once it asks again who has the address
            box.wait_until(lambda: reach(first, targets[0]) == all_of("ok", targets[:1]), "the rule was not what stopped it")
    first.kill()


def test_the_hosts_own_addresses(box, pair):
    first, _ = pair
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        port = listener.getsockname()[1]
        targets = [(hostile.SUBNET + ".0.1", port), (UPLINK, port)]
        assert reach(first, *targets, ("127.0.0.1", port), ("0.0.0.0", port)) == {**all_of("ETIMEDOUT", targets), f"127.0.0.1 {port}": "ECONNREFUSED", f"0.0.0.0 {port}": "ECONNREFUSED"}
        with without_barrier(box, "incoming"):
            assert reach(first, *targets) == all_of("ok", targets)


def test_the_hosts_udp(box, pair):
    first, _ = pair
    gateway = hostile.SUBNET + ".0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("0.0.0.0", 0))
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        assert first.tries("ask", gateway, port, "00") == {f"{gateway} {port}": "ETIMEDOUT"}
        with pytest.raises(TimeoutError):
            listener.recv(10)
        with without_barrier(box, "incoming"):
            first.tries("ask", gateway, port, "4142")
        assert listener.recv(10) == b"AB"


def test_another_instance(box, pair):
    first, second = pair
    there = address(second)
    assert reach(first, (there, 8081)) == {f"{there} 8081": "ETIMEDOUT"}
    assert first.tries("ask", there, 8081, "00") == {f"{there} 8081": "ETIMEDOUT"}
    with without_barrier(box, "forwarded"):
        assert reach(first, (there, 8081)) == {f"{there} 8081": "ok"}


def test_broadcast_and_multicast_find_no_one(pair):
    first, second = pair
    before = second.text("print", "/proc/net/snmp")
    got = first.tries("ask", "255.255.255.255", 8081, "00", "224.0.0.251", 8081, "00", hostile.SUBNET + ".255.255", 8081, "00")
    assert set(got.values()) == {"ETIMEDOUT"}, got
    assert udp_received(second.text("print", "/proc/net/snmp")) == udp_received(before)


def udp_received(snmp):
    head, values = [line.split()[1:] for line in snmp.splitlines() if line.startswith("Udp:")]
    return values[head.index("InDatagrams")]


def test_mail(internet, box, pair):
    first, _ = pair
    assert reach(first, (OUTSIDE, 25)) == {f"{OUTSIDE} 25": "ETIMEDOUT"}
    with without_barrier(box, "outbound"):
        assert reach(first, (OUTSIDE, 25)) == {f"{OUTSIDE} 25": "ok"}


def test_source_routing(internet, box, pair):
    """CVE-1999-0510: by way of an address that is allowed (or the gateway's own) to one that is not."""
    first, _ = pair
    with internet.private_routes([interface(first)]):
        for by in (OUTSIDE, hostile.SUBNET + ".0.1"):
            assert first.tries("source-route", by, "169.254.169.254", 80)["option"] == "EPERM"
            # With all privileges the packets leave, and are dropped.
            assert box.control("source-route", by, "169.254.169.254", "80", wrapper=inside_as_root(first)) == {"option": "ok", "169.254.169.254 80": "ETIMEDOUT"}


def test_without_a_network_nothing_is_there(box, internet):
    alone = box.attacker(network=0)
    targets = [(OUTSIDE, 80), (hostile.SUBNET + ".0.1", 53), ("169.254.169.254", 80)]
    assert reach(alone, *targets) == all_of("ENETUNREACH", targets)
    alone.kill()


# ---- how much


def test_connections_are_bounded(internet, box, pair):
    """100 open connections; the next is refused at once, and others are not asked to share."""
    greedy = box.attacker(files=1000)
    assert greedy.tries("connections", OUTSIDE, 80, 300) == {"made": "100", "end": "EHOSTUNREACH"}
    assert reach(pair[0], (OUTSIDE, 80)) == {f"{OUTSIDE} 80": "ok"}
    greedy.kill()


def test_closed_connections_do_not_count(internet, box, pair):
    """More than the bound one after the other: what both sides closed makes room."""
    for _ in range(3):
        assert pair[0].tries("connections", OUTSIDE, 80, 60) == {"made": "60", "end": "ok"}


def test_the_hosts_table_of_flows_is_not_filled(internet, box):
    """One datagram to each of 20,000 ports: nf_conntrack_max is one number for the machine, 262,144 on most."""
    count = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_count")
    bomb = box.attacker()
    before = int(count.read_text())
    assert bomb.tries("flows", OUTSIDE, 20000) == {"sent": "20000"}
    assert int(count.read_text()) - before < 1500
    bomb.kill()
    # CONTROL: with the chain opened each is a flow.
    other = box.attacker()
    with without_barrier(box, "outbound"):
        before = int(count.read_text())
        assert other.tries("flows", OUTSIDE, 5000) == {"sent": "5000"}
        assert int(count.read_text()) - before > 4000
    other.kill()


# ---- as whom


def test_the_network_is_not_configured_from_inside(pair):
    assert set(pair[0].tries("configure").values()) == {"EPERM"}


def inside_as_root(attacker):
    """One barrier fewer: root of the host in the container's network namespace, with every capability there and no filter."""
    return ["nsenter", "-t", str(attacker.init()), "--net", "--"]


def test_ip_spoofing(internet, box, pair):
    first, second = pair
    got = first.tries("spoof", address(second), OUTSIDE)
    assert got == {"bind": "EADDRNOTAVAIL", "transparent": "EPERM", "freebind": "ok", f"{OUTSIDE} 80": "ENETUNREACH", "raw": "EBADF"}
    # With all privileges the packets do leave, and the rules drop them: no connection comes to be.
    for source in (address(second), hostile.SUBNET + ".200.200", "8.8.8.8", UPLINK):
        got = box.control("spoof", source, OUTSIDE, wrapper=inside_as_root(first))
        assert (got["transparent"], got["raw"], got[f"{OUTSIDE} 80"]) == ("ok", "ok", "ETIMEDOUT"), (source, got)
    # CONTROL: with its own source the same program connects.
    assert box.control("spoof", address(first), OUTSIDE, wrapper=inside_as_root(first))[f"{OUTSIDE} 80"] == "ok"


def test_arp_spoofing(box, pair):
    first, second = pair
    gateway = hostile.SUBNET + ".0.1"
    assert first.tries("arp", address(second)) == {"packet": "ENOSYS", "send": "EBADF"}
    # With all privileges the frames leave, and neither the host nor the other instance believes them: each has a link of its own.
    for claimed in (address(second), gateway, UPLINK, OUTSIDE):
        assert box.control("arp", claimed, wrapper=inside_as_root(first)) == {"packet": "ok", "send": "ok"}
    assert "02:00:00:00:00:42" not in ip("neigh", "show") and "02:00:00:00:00:42" not in second.text("print", "/proc/net/arp")
    assert reach(second, (OUTSIDE, 80)) == {f"{OUTSIDE} 80": "ok"}


# ---- names


def question(name, kind=1):
    labels = b"".join(bytes([len(label)]) + label for label in name.encode().split(b".")) if name else b""
    return (b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00" + kind.to_bytes(2, "big") + b"\x00\x01").hex()


class Names:
    """What edge serves at the gateway address, played by the test: notes who asked, and answers."""

    def __init__(self, gateway):
        self.questions, self.errors = [], []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
        self.socket.bind((gateway, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                data, peer = self.socket.recvfrom(65536)
                if not peer:
                    return  # shut down
                self.questions.append((peer[0], data))
                try:
                    self.socket.sendto(data[:2] + b"\x81\x80" + data[4:], peer)
                except OSError as error:
                    self.errors.append((peer, error))  # who asked may be gone

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture(scope="module")
def names(box):
    n = Names(hostile.SUBNET + ".0.1")
    yield n
    n.close()


def test_names_are_asked_at_the_gateway_and_nothing_else_of_the_resolver(internet, names, pair):
    first, _ = pair
    gateway = hostile.SUBNET + ".0.1"
    assert first.text("print", "/etc/resolv.conf").startswith(f"nameserver {gateway}\n")
    assert first.tries("ask", gateway, 53, question("example.com"))[f"{gateway} 53"].endswith(" bytes")
    assert names.questions[-1][0] == address(first)
    # The resolver's own address is a private one: it is open to no one who names it, on no port.
    assert reach(first, (RESOLVER, 80), (RESOLVER, 53), (gateway, 80)) == all_of("ETIMEDOUT", [(RESOLVER, 80), (RESOLVER, 53), (gateway, 80)])
    assert first.tries("ask", RESOLVER, 53, question("example.com")) == {f"{RESOLVER} 53": "ETIMEDOUT"}


def test_a_forged_source_asks_no_names_and_calls_nobody(names, pair):
    """Whose share a question is taken from, and how deep a call stands in a chain, is told by its source address."""
    first, second = pair
    gateway = hostile.SUBNET + ".0.1"
    script = ("import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(0, 19, 1); s.bind((sys.argv[1], 0))\n"
              "s.sendto(b'forged by ' + sys.argv[1].encode(), (sys.argv[2], 53))\n")
    for source in (address(second), hostile.SUBNET + ".200.200", "8.8.8.8", address(first)):
        subprocess.run([*inside_as_root(first), "/usr/bin/python3", "-c", script, source, gateway], check=True, capture_output=True)
    # CONTROL: the last one, with its own source, arrived.
    assert first.tries("ask", gateway, 53, question("example.com"))[f"{gateway} 53"].endswith(" bytes")
    assert [data for _, data in names.questions if data.startswith(b"forged")] == [b"forged by " + address(first).encode()]


def test_a_flood_of_questions_stays_before_the_socket_that_all_share(names, pair):
    first, second = pair
    gateway = hostile.SUBNET + ".0.1"
    script = "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((sys.argv[1], 53))\nfor n in range(5000): s.send(b'flood')\n"
    subprocess.run([*inside_as_root(first), "/usr/bin/python3", "-c", script, gateway], check=True, capture_output=True)
    assert second.tries("ask", gateway, 53, question("example.org"))[f"{gateway} 53"].endswith(" bytes")
    assert sum(data == b"flood" for _, data in names.questions) < 2500


def test_hostile_questions_harm_no_one_between(names, pair):
    """Names longer than there may be, TXT, ANY, compression loops, a datagram of noise: they pass the firewall as bytes (src/resolver judges them), and the next question is answered."""
    first, second = pair
    gateway = hostile.SUBNET + ".0.1"
    loop = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01".hex()
    for hexadecimal in (question(".".join(["x" * 63] * 5)), question("t" * 63 + ".example.com", 16), question("example.com", 255), loop, os.urandom(500).hex(), "00"):
        first.tries("ask", gateway, 53, hexadecimal)
    assert first.tries("ask", gateway, 53, question("example.com"))[f"{gateway} 53"].endswith(" bytes"), names.errors
    assert second.tries("ask", gateway, 53, question("example.org"))[f"{gateway} 53"].endswith(" bytes"), names.errors
