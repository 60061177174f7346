"""`wsgi.input`: the request's body as a file that ends where the body ends, whatever its framing."""


class Disconnected(OSError):
    """The caller went away before its body was over."""


class Input:
    """`read_pieces()` waits for more bytes and gives [] at the end; `is_gone()` tells an end that is none."""

    def __init__(self, read_pieces, is_gone):
        self._read_pieces = read_pieces
        self._is_gone = is_gone
        self._buffer = b""

    def _more(self):
        pieces = self._read_pieces()
        if not pieces and self._is_gone():
            raise Disconnected("the caller went away before the request's body was over")
        return b"".join(pieces)

    def read(self, size=-1):
        """`size` bytes, fewer only where the body ends; without a size the whole body. Waits for them, as WSGI servers do: applications ask for CONTENT_LENGTH bytes."""
        parts = [self._buffer]
        length = len(self._buffer)
        self._buffer = b""
        while size is None or size < 0 or length < size:
            data = self._more()
            if not data:
                return b"".join(parts)
            parts.append(data)
            length += len(data)
        data = b"".join(parts)
        self._buffer = data[size:]
        return data[:size]

    def readline(self, size=-1):
        limit = size if size is not None and size >= 0 else None
        parts, length = [], 0
        while True:
            end = self._buffer.find(b"\n") + 1 or len(self._buffer)
            if limit is not None:
                end = min(end, limit - length)
            part, self._buffer = self._buffer[:end], self._buffer[end:]
            parts.append(part)
            length += len(part)
            if part.endswith(b"\n") or length == limit:
                return b"".join(parts)
            if not self._buffer:
                self._buffer = self._more()
                if not self._buffer:
                    return b"".join(parts)

    def readlines(self, hint=-1):
        lines, length = [], 0
        for line in self:
            lines.append(line)
            length += len(line)
            if hint is not None and 0 < hint <= length:
                break
        return lines

    def __iter__(self):
        return self

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line
