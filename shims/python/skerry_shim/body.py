"""Request bodies taken out of their framing, and answers put into theirs; no I/O.

Both decoders have `feed(data) -> (pieces, rest)`: what of `data` is body, and what comes after the body's end; `done` says that the end was reached.
"""

_SIZE_LINE_MAX = 18
_TRAILERS_MAX = 8 * 1024


class BadBody(Exception):
    """The chunks are none."""


class LengthBody:
    __slots__ = ("left", "done")

    def __init__(self, length):
        self.left = length
        self.done = length == 0

    def feed(self, data):
        left = self.left
        if len(data) < left:
            self.left = left - len(data)
            return [data], b""
        self.left = 0
        self.done = True
        return [data[:left]] if left else [], data[left:]

    def is_longer_than(self, size):
        return self.left > size


class ChunkedBody:
    """`chunked` and nothing else. Extensions are refused: the platform sends none."""

    __slots__ = ("done", "_buffer", "_left", "_state")

    def __init__(self):
        self.done = False
        self._buffer = b""
        self._left = 0
        self._state = "size"

    def feed(self, data):
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        pieces = []
        while data and not self.done:
            if self._state == "data":
                piece = data[:self._left]
                data = data[self._left:]
                self._left -= len(piece)
                pieces.append(piece)
                if not self._left:
                    self._state = "end"
                continue
            end = data.find(b"\r\n")
            if end < 0:
                if len(data) > (_TRAILERS_MAX if self._state == "trailers" else _SIZE_LINE_MAX):
                    raise BadBody("chunk line too long")
                self._buffer = data
                break
            self._line(data[:end])
            data = data[end + 2:]
        return pieces, data if self.done else b""

    def _line(self, line):
        if self._state == "size":
            if not line or len(line) > _SIZE_LINE_MAX - 2 or line.strip(b"0123456789abcdefABCDEF"):
                raise BadBody("chunk size")
            self._left = int(line, 16)
            self._state = "data" if self._left else "trailers"
        elif self._state == "end":
            if line:
                raise BadBody("no line end after a chunk")
            self._state = "size"
        elif not line:
            self.done = True

    def is_longer_than(self, size):
        return self._state == "data" and self._left > size


def body_of(head):
    return ChunkedBody() if head.chunked else LengthBody(head.length)


class AnswerFraming:
    """Keeps what an author writes inside the framing that the head announced. `take` returns the buffers to send for one piece."""

    __slots__ = ("_left", "_chunked", "_bodiless")

    def __init__(self, framing, bodiless):
        self._bodiless = bodiless
        self._chunked = framing == "chunked"
        self._left = framing if isinstance(framing, int) else 0

    def take(self, data, last):
        if self._bodiless:
            return []
        if self._chunked:
            out = [b"%x\r\n" % len(data), data, b"\r\n"] if data else []
            if last:
                out.append(b"0\r\n\r\n")
            return out
        if len(data) > self._left:
            raise ValueError(f"the answer is {len(data) - self._left} bytes longer than its content-length")
        self._left -= len(data)
        return [data] if data else []

    @property
    def is_short(self):
        """Whether bytes that were announced are still missing."""
        return not self._bodiless and self._left > 0
