"""Bytes that mean nothing, on every port and every socket: refused, with no process lost and nothing shipped forgotten."""
import random
import socket
import ssl
import struct

import pytest
from conftest import ROOT

HELLO = ROOT / "examples" / "hello-python"
SOCKETS = ["control.sock", "filler.sock", "keeper.sock", "reaper.sock", "starter.sock", "watch.sock"]
SEED = 2
WAIT_S = 5  # for a peer to say something or to close; many wait for more bytes, and may


def pieces():
    dice = random.Random(SEED)
    lengths = [struct.pack("<I", n) for n in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF)] + [struct.pack("<Q", 1 << 63)]
    return [b"", b"\x00", b"\xff" * 3, b"\n" * 2000, b"{}", b"[" * 5000, *lengths, *(n + dice.randbytes(40) for n in lengths), b"\x16\x03\x01\xff\xff" + dice.randbytes(64),
            b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9999999999999999999999\r\n\r\n", *(dice.randbytes(n) for n in (1, 7, 300, 5000))]


def throw(connection, garbage):
    """Sends, and lets the other side answer or close; what it answers is its own affair."""
    with connection:
        connection.settimeout(WAIT_S)
        try:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except OSError:
            pass


def connect_unix(path):
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        connection = socket.socket(socket.AF_UNIX, kind)
        try:
            connection.connect(str(path))
            return connection
        except OSError as error:
            connection.close()
            last = error
    raise last


def connect_tls(port, name):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), WAIT_S), server_hostname=name)


@pytest.fixture(scope="module")
def busy(skerry):
    assert skerry.ship(HELLO).returncode == 0
    return skerry.get("hello-python")["url"]


def check(skerry, url, before):
    assert skerry.call(url).status == 200
    assert skerry.processes() == before, skerry.log()
    assert skerry.healthy()


@pytest.mark.parametrize("port", ["https", "http", "api"])
def test_a_port(skerry, busy, port):
    before = skerry.processes()
    number = getattr(skerry, port)
    for garbage in pieces():
        throw(socket.create_connection(("127.0.0.1", number), WAIT_S), garbage)
        if port != "http":  # behind a good handshake
            throw(connect_tls(number, "localhost"), garbage)
    check(skerry, busy, before)


@pytest.mark.parametrize("name", SOCKETS)
def test_a_socket_between_processes(skerry, busy, name):
    """As root, whom no mode of a file keeps out."""
    before = skerry.processes()
    for garbage in pieces():
        try:
            connection = connect_unix(skerry.run / name)
        except ConnectionRefusedError:
            pytest.fail(f"{name} is closed after garbage: {skerry.log()}")
        throw(connection, garbage)
    check(skerry, busy, before)
    assert skerry.ship(HELLO, **{"func.toml": f'[edge_compute]\nfunc_name = "after-{name.split(".")[0]}"\n'}).returncode == 0
    check(skerry, busy, before)
