"""The client's side of a WebSocket, raw enough to break its rules."""

import base64
import hashlib

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x12\x34\x56\x78"


def expected_accept(key):
    return base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


class WebSocket:
    """Does the handshake; `answer` is what the shim said to it."""

    key = base64.b64encode(b"conformance key!").decode()

    def __init__(self, connection, target, subprotocols=()):
        self.connection = connection
        headers = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"), ("sec-websocket-key", self.key)]
        if subprotocols:
            headers.append(("sec-websocket-protocol", ", ".join(subprotocols)))
        connection.send_head("GET", target, headers=headers)
        self.answer = connection.read_head()

    def encode(self, opcode, payload, final=True):
        size = len(payload)
        first = bytes(((0x80 if final else 0) | opcode,))
        if size < 126:
            length = bytes((0x80 | size,))
        elif size < 65536:
            length = b"\xfe" + size.to_bytes(2, "big")
        else:
            length = b"\xff" + size.to_bytes(8, "big")
        mask = (MASK * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big") if size else b""
        return first + length + MASK + masked

    def send_raw(self, data):
        self.connection.send(data)

    def send(self, opcode, payload, final=True):
        self.send_raw(self.encode(opcode, payload, final))

    def receive_frame(self):
        """(opcode, payload) of the next frame, which a server sends whole and unmasked."""
        first, second = self.connection.read_some(2)
        assert first & 0x80, "a fragment"
        assert not first & 0x70, "reserved bits"
        assert not second & 0x80, "a mask from the server"
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(self.connection.read_some(2 if size == 126 else 8), "big")
        return first & 0x0F, self.connection.read_some(size) if size else b""

    def receive_message(self):
        opcode, payload = self.receive_frame()
        assert opcode in (TEXT, BINARY), (opcode, payload)
        return opcode, payload

    def receive_text(self):
        opcode, payload = self.receive_message()
        assert opcode == TEXT
        return payload.decode("utf-8")

    def receive_close(self):
        """The code of the next frame, which must be a close."""
        opcode, payload = self.receive_frame()
        assert opcode == CLOSE, (opcode, payload)
        return int.from_bytes(payload[:2], "big")
