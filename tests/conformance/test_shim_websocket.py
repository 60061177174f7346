"""WebSockets, where the language's contract has them (RFC 6455 over the connection that the platform upgraded)."""

import json

import pytest

from kit.http1 import Ended
from kit.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket, expected_accept

pytestmark = pytest.mark.needs("websocket")


@pytest.fixture
def socket(shim):
    with shim.connect() as connection:
        yield WebSocket(connection, "/ws?x=1")


def test_handshake_is_accepted(shim):
    with shim.connect() as connection:
        socket = WebSocket(connection, "/ws", subprotocols=["other", "conformance"])
        assert socket.answer.status == 101
        assert socket.answer.get("upgrade").lower() == "websocket"
        assert socket.answer.get("connection").lower() == "upgrade"
        assert socket.answer.get("sec-websocket-accept") == expected_accept(socket.key)
        assert socket.answer.get("sec-websocket-protocol") == "conformance"
        assert socket.answer.get("sec-websocket-extensions") is None
        assert (socket.answer.get("content-length"), socket.answer.get("transfer-encoding")) == (None, None)


def test_refused_handshake_is_a_403(shim):
    with shim.connect() as connection:
        assert WebSocket(connection, "/ws/refuse").answer.status == 403


def test_scope_of_a_websocket(socket):
    socket.send(TEXT, b"path")
    assert json.loads(socket.receive_text()) == {"path": "/ws", "query": "x=1", "subprotocols": []}


@pytest.mark.parametrize("size", (0, 1, 125, 126, 65535, 65536, 1_000_000))
def test_messages_of_every_length_form_come_back(socket, size):
    text = ("aü€" * (size // 3 + 1))[:size]
    socket.send(TEXT, text.encode())
    assert socket.receive_text() == text
    data = bytes(at % 256 for at in range(size))
    socket.send(BINARY, data)
    assert socket.receive_message() == (BINARY, data)


def test_fragments_are_one_message_and_controls_may_come_between(socket):
    socket.send(TEXT, "eins ü".encode()[:-1], final=False)
    socket.send(PING, b"between")
    socket.send(CONTINUATION, "eins ü".encode()[-1:], final=False)
    socket.send(CONTINUATION, b" zwei")
    assert socket.receive_frame() == (PONG, b"between")
    assert socket.receive_text() == "eins ü zwei"


def test_frames_may_arrive_byte_by_byte(socket):
    for byte in socket.encode(TEXT, b"slowly"):
        socket.send_raw(bytes((byte,)))
    assert socket.receive_text() == "slowly"


def test_many_messages_keep_their_order(socket):
    for number in range(300):
        socket.send(TEXT, b"%d" % number)
    assert [socket.receive_text() for _ in range(300)] == [str(number) for number in range(300)]


def test_close_by_the_client_is_answered_and_told(shim, socket):
    socket.send(CLOSE, (4002).to_bytes(2, "big") + b"bye")
    assert socket.receive_close() == 4002
    shim.out.wait_for("ws over 4002")
    socket.connection.wait_ended()


def test_close_by_the_application_carries_its_code(socket):
    socket.send(TEXT, b"close")
    assert socket.receive_frame() == (CLOSE, (4001).to_bytes(2, "big") + b"asked")


def test_end_without_a_close_is_told_as_1006(fresh):
    with fresh.connect() as connection:
        socket = WebSocket(connection, "/ws")
        socket.send(TEXT, b"hello")
        assert socket.receive_text() == "hello"
        connection.half_close()
        fresh.out.wait_for("ws over 1006")
        connection.drain()
    assert fresh.ask("GET", "/hello").status == 200


def test_exception_closes_with_1011(shim, socket):
    socket.send(TEXT, b"error")
    assert socket.receive_close() == 1011
    shim.err.wait_for(lambda line: "conformance websocket" in line)
    assert shim.ask("GET", "/hello").status == 200


@pytest.mark.parametrize("wire, code", (
    (b"\x81\x01x", 1002),                                  # no mask
    (b"\xc1\x80\0\0\0\0", 1002),                           # a reserved bit
    (b"\x83\x80\0\0\0\0", 1002),                           # an unknown opcode
    (b"\x80\x80\0\0\0\0", 1002),                           # a continuation of nothing
    (b"\x09\x80\0\0\0\0", 1002),                           # a fragmented ping
    (b"\x89\xfe\x00\x7e", 1002),                           # a long ping
    (b"\x88\x81\0\0\0\0x", 1002),                          # half a close code
    (b"\x88\x82\0\0\0\0\x03\xed", 1002),                   # 1005 on the wire
    (b"\x81\x82\0\0\0\0\xc3\x28", 1007),                   # not UTF-8
    (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 1009),   # a length that nobody has
))
def test_breach_of_the_protocol_is_closed_with_its_code(shim, socket, wire, code):
    socket.send_raw(wire)
    assert socket.receive_close() == code
    socket.connection.drain()
    assert shim.ask("GET", "/hello").status == 200


def test_stop_closes_open_sockets(fresh):
    with fresh.connect() as connection:
        socket = WebSocket(connection, "/ws")
        socket.send(TEXT, b"hello")
        assert socket.receive_text() == "hello"
        fresh.terminate()
        assert socket.receive_close() in (1001, 1012)
    assert fresh.wait_exit() == 0


def test_plain_requests_work_after_a_socket(shim):
    with shim.connect() as connection:
        socket = WebSocket(connection, "/ws")
        socket.send(TEXT, b"close")
        with pytest.raises(Ended):
            while True:
                socket.receive_frame()
    assert shim.ask("GET", "/hello").status == 200
