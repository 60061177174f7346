"""The status pipe (descriptor 4): tells the platform how far the start came, then closes.

Written by hand instead of with `json`: that module costs more to import than everything else that happens before user code.
"""

import os

DESCRIPTOR = 4
LINE_MAX = 4096
# Characters of `message`, so that a line stays below LINE_MAX when each of them is escaped as \uXXXX, some as a pair.
MESSAGE_MAX = 300


class Status:
    def __init__(self, fd=DESCRIPTOR):
        self._fd = fd

    def phase(self, word):
        self._write('{"phase":"%s"}\n' % word)
        if word == "ready":
            self._close()

    def start_failed(self, message):
        self._write('{"error":"start_failed","message":"%s"}\n' % escape(message[:MESSAGE_MAX]))
        self._close()

    def _write(self, line):
        if self._fd is None:
            return
        try:
            # At most PIPE_BUF bytes, so it is written whole or not at all.
            os.write(self._fd, line.encode("ascii"))
        except OSError:
            # Nobody listens (a hand start, or a platform that gave up): the start goes on and the reader, if any, sees the end of the pipe.
            self._close()

    def _close(self):
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def escape(text):
    """The inside of a JSON string, in ASCII."""
    out = []
    for character in text:
        code = ord(character)
        if character in '"\\':
            out.append("\\" + character)
        elif 0x20 <= code < 0x7F:
            out.append(character)
        elif code < 0x10000:
            out.append("\\u%04x" % code)
        else:
            code -= 0x10000
            out.append("\\u%04x\\u%04x" % (0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF)))
    return "".join(out)
