"""What containers reach: the internet (a network namespace of the test's own plays it), and nothing else."""
import contextlib
import os
import socket
import subprocess
import threading

import pytest
import sandbox as sb

OUTSIDE, UPLINK = "203.0.113.2", "203.0.113.1"  # TEST-NET-3


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def outside(box):
    """A machine on the internet that listens on some ports; gives a function that tells who connected last."""
    name = "o" + box.tag
    ip("netns", "add", name)
    seen = []
    listeners = []
    try:
        ip("link", "add", name[:10] + "h", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", UPLINK + "/30", "dev", name[:10] + "h")
        ip("link", "set", name[:10] + "h", "up")
        for command in (["addr", "add", OUTSIDE + "/30", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"]):
            ip("-n", name, *command)
        # Sockets born there: the namespace of the thread that makes them.
        def make():
            fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
            __import__("ctypes").CDLL(None).setns(fd, 0)
            os.close(fd)
            for port in (25, 80, 5353):
                s = socket.socket()
                s.bind((OUTSIDE, port))
                s.listen()
                listeners.append(s)
        maker = threading.Thread(target=make)
        maker.start()
        maker.join()

        def serve(s):
            with contextlib.suppress(OSError):
                while True:
                    connection, peer = s.accept()
                    seen.append(peer[0])
                    connection.close()
        for s in listeners:
            threading.Thread(target=serve, args=(s,), daemon=True).start()
        yield seen
    finally:
        for s in listeners:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        subprocess.run(["ip", "netns", "del", name], check=False)


def connects(instance, address, port):
    return instance.values(f"/connect/{address}/{port}").get("connected", "0") == "1"


def test_reaches_the_internet_as_the_host(instance, outside):
    assert connects(instance, OUTSIDE, 80)
    instance.sandbox.wait_until(lambda: outside, "the connection was not accepted")
    assert outside[-1] == UPLINK


def test_sends_no_mail(instance, outside):
    assert connects(instance, OUTSIDE, 5353)
    assert not connects(instance, OUTSIDE, 25)


def test_the_hosts_own_addresses_are_closed(instance, outside):
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        for address in (UPLINK, sb.SUBNET + ".0.1", "127.0.0.1"):
            assert not connects(instance, address, listener.getsockname()[1]), address


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1"])
def test_private_and_metadata_addresses_are_closed(instance, outside, address):
    """The same machine outside answers under that address too: only the rules keep it from being reached."""
    name = "o" + instance.sandbox.tag
    with pytest.MonkeyPatch.context():
        ip("-n", name, "addr", "add", address + "/32", "dev", "eth0")
        ip("-n", name, "route", "replace", "default", "via", UPLINK)
        ip("route", "add", address + "/32", "via", OUTSIDE, "table", "91")
        ip("rule", "add", "iif", instance_interface(instance), "to", address, "lookup", "91")
        try:
            assert not connects(instance, address, 80)
        finally:
            ip("rule", "del", "iif", instance_interface(instance), "to", address, "lookup", "91")
            ip("route", "flush", "table", "91")


def instance_interface(instance):
    address = own_address(instance)
    return [line for line in subprocess.run(["ip", "route", "show", address], capture_output=True, text=True).stdout.split()
            if line.startswith(instance.sandbox.tag + "-")][0]


def own_address(instance):
    lines = instance.get("/read/proc/net/fib_trie").splitlines()
    return next(line.split("-- ")[1] for line, kind in zip(lines, lines[1:]) if f"-- {sb.SUBNET}." in line and "host LOCAL" in kind)


def test_reaches_no_other_container(box, instance):
    other = box.up(transport=2, port=8080)
    assert other.get("/hello") == "hello\n"
    assert not connects(instance, own_address(other), 8080)
    other.kill()


def test_nothing_connects_in_from_the_host(box):
    i = box.up(transport=2, port=8080)
    assert i.get("/hello") == "hello\n"
    with socket.socket() as s:
        s.settimeout(1)
        with pytest.raises(OSError):
            s.connect((own_address(i), 8080))
    i.kill()


def test_no_ipv6_leads_out(instance):
    lines = [line.split() for line in instance.get("/read/proc/net/if_inet6").splitlines()]
    assert all(line[-1] == "lo" for line in lines), lines


def test_without_a_network_there_is_a_loopback_only(box, outside):
    i = box.up(network=0, transport=2, port=8080)
    assert i.get("/hello") == "hello\n"  # over the loopback inside
    assert len(i.get("/read/proc/net/route").splitlines()) == 1  # the heading: its interface is down, and with it went every route
    assert [line.split()[-1] for line in i.get("/read/proc/net/if_inet6").splitlines()] == ["lo"]
    assert not connects(i, OUTSIDE, 80)
    i.kill()


def test_a_forged_source_address_goes_nowhere(box, instance, outside):
    """From inside the slot's network, as root of the host could: the rules are asked, not the container's lack of privileges."""
    pid = next(pid for pids in box.groups().values() for pid in pids)
    script = ("import socket\ns=socket.socket(); s.settimeout(1); s.setsockopt(0, 19, 1); s.bind((\"%s\", 0))\n"
              "try: s.connect((\"%s\", 80)); print(\"connected\")\nexcept OSError: print(\"no\")\n")
    own = subprocess.run(["nsenter", "-t", str(pid), "-n", "/usr/bin/python3", "-c", script % ("0.0.0.0", OUTSIDE)], capture_output=True, text=True)
    assert own.stdout == "connected\n", own
    before = len(outside)
    forged = subprocess.run(["nsenter", "-t", str(pid), "-n", "/usr/bin/python3", "-c", script % (sb.SUBNET + ".200.200", OUTSIDE)], capture_output=True, text=True)
    assert forged.stdout == "no\n", forged
    assert len(outside) == before
