"""A raw HTTP/1.1 client over a unix socket: writes the bytes that edge would write, reads strictly what a shim may answer.

Not a general client: it knows that heads are small, that framing is Content-Length or exactly `chunked`, and that a shim sends no chunk extensions and no
trailers. Anything else is an AssertionError that names the bytes.
"""

import hashlib
import json
import select
import socket
from dataclasses import dataclass, field

HEAD_LIMIT = 64 * 1024
READ_SIZE = 256 * 1024
REQUEST_ID = "req-conformance-0001"
BODILESS_STATUS = (204, 304)


def pattern(size):
    """The generated body of SPEC.md: byte number i is i mod 251."""
    unit = bytes(range(251))
    return (unit * (size // 251 + 1))[:size]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def head(method, target, headers=(), length=None, chunked=False):
    """A request head as edge rewrites it: lower-case names, one framing, forwarding headers."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "host: conformance-0123456789.skerry.localhost",
        "x-forwarded-proto: https",
        "x-forwarded-for: 198.51.100.7, 203.0.113.9",
        "x-forwarded-host: conformance-0123456789.skerry.localhost",
    ]
    names = {name for name, _ in headers}
    if "x-request-id" not in names:
        lines.append(f"x-request-id: {REQUEST_ID}")
    lines += [f"{name}: {value}" for name, value in headers]
    if chunked:
        lines.append("transfer-encoding: chunked")
    elif length is not None:
        lines.append(f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass
class Answer:
    status: int
    reason: str
    headers: list
    body: bytes = b""
    chunks: list = field(default_factory=list)
    whole: bool = True  # False: the connection ended before the body did

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None

    def all(self, name):
        return [value for known, value in self.headers if known == name]

    def json(self):
        assert (self.get("content-type") or "").split(";")[0] == "application/json", self
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode("utf-8")


class Ended(Exception):
    """The shim closed the connection."""


class Connection:
    def __init__(self, path, timeout_s):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.socket.connect(path)
        self._timeout_s = timeout_s
        self._buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # Writing

    def send(self, data):
        self.socket.sendall(data)

    def send_head(self, method, target, **more):
        self.send(head(method, target, **more))

    def send_until_stuck(self, data, stuck_ms):
        """Writes until the peer takes nothing for `stuck_ms`; returns how many bytes went. The one place where the kit waits for something *not* to happen."""
        poll = select.poll()
        poll.register(self.socket, select.POLLOUT)
        view, sent = memoryview(data), 0
        self.socket.setblocking(False)
        try:
            while sent < len(data) and poll.poll(stuck_ms):
                try:
                    sent += self.socket.send(view[sent:sent + 65536])
                except BlockingIOError:
                    pass
        finally:
            self.socket.settimeout(self._timeout_s)
        return sent

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    # Reading

    def _fill(self):
        try:
            data = self.socket.recv(READ_SIZE)
        except ConnectionResetError:
            data = b""
        except TimeoutError:
            raise AssertionError(f"the shim said nothing for {self._timeout_s} s; unread so far: {bytes(self._buffer[:200])!r}") from None
        if not data:
            raise Ended
        self._buffer += data

    def _line(self, limit=HEAD_LIMIT):
        while (at := self._buffer.find(b"\r\n")) < 0:
            assert len(self._buffer) <= limit, f"a line over {limit} bytes"
            self._fill()
        line = bytes(self._buffer[:at])
        del self._buffer[:at + 2]
        assert b"\n" not in line and b"\r" not in line, f"bare CR or LF in {line!r}"
        return line

    def _exactly(self, size):
        while len(self._buffer) < size:
            self._fill()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def read_head(self):
        version, status, reason = (self._line().decode("latin-1") + " ").split(" ", 2)
        assert version == "HTTP/1.1", version
        headers = []
        while line := self._line():
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon and name and name.strip() == name, f"header line {line!r}"
            headers.append((name.lower(), value.strip()))
        return Answer(int(status), reason.strip(), headers)

    def read_chunk(self):
        """The data of the next chunk; b"" is the last one."""
        size_line = self._line(64)
        assert all(c in b"0123456789abcdefABCDEF" for c in size_line) and size_line, f"chunk size line {size_line!r} (extensions are not sent)"
        size = int(size_line, 16)
        data = self._exactly(size)
        assert self._line(64) == b"", "no line end after a chunk (or trailers after the last)"
        return data

    def read_some(self, size):
        """Exactly `size` bytes of whatever is next."""
        return self._exactly(size)

    def read_piece(self, answer, size):
        """The next `size` body bytes of `answer`, over as many chunks as they came in."""
        if answer.get("transfer-encoding") is None:
            return self._exactly(size)
        data = b""
        while len(data) < size:
            part = self.read_chunk()
            assert part, f"the body ended at {data!r}"
            data += part
        assert len(data) == size, f"more than was awaited: {data!r}"
        return data

    def read_body(self, answer, method="GET"):
        """Reads the rest of the answer's body into `answer`, which is returned. `whole` is False if the connection ended first."""
        coding, length = answer.get("transfer-encoding"), answer.get("content-length")
        assert not (coding and length), f"both framings: {answer.headers}"
        assert len(answer.all("content-length")) <= 1 and len(answer.all("transfer-encoding")) <= 1, answer.headers
        if answer.status in BODILESS_STATUS:
            assert coding is None, f"{answer.status} with a transfer-encoding"
            assert answer.status != 204 or length is None, "204 with a content-length"
            return answer
        if method == "HEAD":
            return answer
        assert coding or length, f"an answer without framing: {answer}"
        assert coding in (None, "chunked"), coding
        try:
            if coding:
                while data := self.read_chunk():
                    answer.chunks.append(data)
                answer.body = b"".join(answer.chunks)
            else:
                answer.body = self._exactly(int(length))
        except Ended:
            answer.whole = False
            answer.body = b"".join(answer.chunks) if coding else bytes(self._buffer)
        return answer

    def read_answer(self, method="GET"):
        return self.read_body(self.read_head(), method)

    def ask(self, method, target, headers=(), body=None):
        """One request with a body of known length, and its answer."""
        self.send(head(method, target, headers, None if body is None else len(body)) + (body or b""))
        return self.read_answer(method)

    def wait_ended(self):
        """Waits for the shim to close; anything it sends before that is an error."""
        try:
            self._fill()
        except Ended:
            assert not self._buffer, f"unread bytes before the end: {bytes(self._buffer[:200])!r}"
            return
        raise AssertionError(f"bytes instead of the end: {bytes(self._buffer[:200])!r}")

    def read_to_end(self):
        """All bytes until the shim closes, uninterpreted."""
        try:
            while True:
                self._fill()
        except Ended:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data

    def drain(self):
        """Reads and forgets until the shim closes."""
        try:
            while True:
                self._buffer.clear()
                self._fill()
        except Ended:
            pass

    def is_quiet(self):
        """True while the connection is open and has nothing to read."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return not self._buffer and not poll.poll(0)
