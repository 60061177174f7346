"""RFC 6455 frames; no I/O. `Decoder.feed` turns bytes into events, the functions below turn messages into bytes.

The peer is a browser behind the platform, so everything is checked: masks, reserved bits, fragmentation, control frames, UTF-8, sizes. A breach raises
`ProtocolError` with the close code that says it. Extensions (compression) are never negotiated.
"""

# As other Python servers have it; larger messages belong into requests.
MESSAGE_MAX = 16 * 1024 * 1024
_CONTROL_MAX = 125
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

NORMAL, GOING_AWAY, PROTOCOL, NO_CODE, ABNORMAL, NOT_UTF8, TOO_BIG, INTERNAL, RESTART = 1000, 1001, 1002, 1005, 1006, 1007, 1009, 1011, 1012


class ProtocolError(Exception):
    def __init__(self, code, reason):
        super().__init__(reason)
        self.code = code
        self.reason = reason


def accept_key(key):
    """The value of sec-websocket-accept."""
    from binascii import b2a_base64

    try:
        from _sha1 import sha1
    except ImportError:
        from hashlib import sha1
    return b2a_base64(sha1(key + _GUID).digest(), newline=False)


def is_valid_key(key):
    from binascii import Error, a2b_base64

    try:
        return len(key) == 24 and len(a2b_base64(key)) == 16
    except Error:
        return False


def is_valid_close_code(code):
    return 3000 <= code <= 4999 or code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)


def frame(opcode, payload):
    """One whole unmasked frame, as buffers to send."""
    size = len(payload)
    first = bytes((0x80 | opcode,))
    if size < 126:
        header = first + bytes((size,))
    elif size < 65536:
        header = first + b"\x7e" + size.to_bytes(2, "big")
    else:
        header = first + b"\x7f" + size.to_bytes(8, "big")
    return [header, payload] if size > 16384 else [header + payload]


def close_frame(code, reason=""):
    if code == NO_CODE:
        return frame(CLOSE, b"")
    text = reason.encode("utf-8")
    while len(text) > _CONTROL_MAX - 2:
        text = text[:_CONTROL_MAX - 2].decode("utf-8", "ignore").encode("utf-8")
    return frame(CLOSE, code.to_bytes(2, "big") + text)


def unmask(payload, key):
    size = len(payload)
    if not size:
        return b""
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(size, "little")


class Decoder:
    """`feed(data)` -> events, in order: ("text", str), ("bytes", bytes), ("ping", bytes), ("pong", bytes), ("close", code, reason)."""

    def __init__(self, message_max=MESSAGE_MAX):
        self._message_max = message_max
        self._buffer = bytearray()
        self._kind = None          # opcode of the fragmented message that is going on
        self._fragments = []
        self._size = 0
        self._closed = False

    def feed(self, data):
        self._buffer += data
        events = []
        while not self._closed:
            parsed = self._frame()
            if parsed is None:
                break
            event = self._event(*parsed)
            if event is not None:
                events.append(event)
        return events

    def _frame(self):
        """(opcode, final, payload) of the next whole frame, or None. Refuses from the header on, before any payload is kept."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        opcode, final = first & 0x0F, bool(first & 0x80)
        if first & 0x70:
            raise ProtocolError(PROTOCOL, "reserved bits")
        if not second & 0x80:
            raise ProtocolError(PROTOCOL, "a frame without mask")
        self._check_order(opcode, final)
        size, at = second & 0x7F, 2
        if opcode >= CLOSE and size > _CONTROL_MAX:
            raise ProtocolError(PROTOCOL, "a long control frame")
        if size >= 126:
            at += 2 if size == 126 else 8
            if len(buffer) < at:
                return None
            size = int.from_bytes(buffer[2:at], "big")
        if opcode < CLOSE and size + self._size > self._message_max:
            raise ProtocolError(TOO_BIG, "message too big")
        if len(buffer) < at + 4 + size:
            return None
        payload = unmask(bytes(buffer[at + 4:at + 4 + size]), bytes(buffer[at:at + 4]))
        del buffer[:at + 4 + size]
        return opcode, final, payload

    def _check_order(self, opcode, final):
        if opcode in (CLOSE, PING, PONG):
            if not final:
                raise ProtocolError(PROTOCOL, "a fragmented control frame")
        elif opcode == CONTINUATION:
            if self._kind is None:
                raise ProtocolError(PROTOCOL, "a continuation of nothing")
        elif opcode in (TEXT, BINARY):
            if self._kind is not None:
                raise ProtocolError(PROTOCOL, "a new message inside another")
        else:
            raise ProtocolError(PROTOCOL, "an unknown opcode")

    def _event(self, opcode, final, payload):
        if opcode == PING:
            return "ping", payload
        if opcode == PONG:
            return "pong", payload
        if opcode == CLOSE:
            self._closed = True
            return self._close(payload)
        if opcode != CONTINUATION:
            self._kind = opcode
        self._fragments.append(payload)
        self._size += len(payload)
        if not final:
            return None
        whole = self._fragments[0] if len(self._fragments) == 1 else b"".join(self._fragments)
        kind = self._kind
        self._kind, self._fragments, self._size = None, [], 0
        return ("text", _text(whole)) if kind == TEXT else ("bytes", whole)

    @staticmethod
    def _close(payload):
        if not payload:
            return "close", NO_CODE, ""
        if len(payload) == 1:
            raise ProtocolError(PROTOCOL, "half a close code")
        code = int.from_bytes(payload[:2], "big")
        if not is_valid_close_code(code):
            raise ProtocolError(PROTOCOL, "an invalid close code")
        return "close", code, _text(payload[2:])


def _text(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolError(NOT_UTF8, "not UTF-8") from None
