"""One connection from the platform, on the event loop: reads heads, feeds bodies, writes answers, and decides when to close.

Made by serve.py for each accept; owns the descriptor. What happens to a request is an exchange's business (asgi.py, ws_exchange.py): the connection tells it
about body bytes and about the end of the caller, and is told when the handler has returned. It keeps no more than READ_AHEAD bytes that nobody has asked for.
"""

import os
from select import EPOLLIN, EPOLLOUT, EPOLLRDHUP

from skerry_shim.body import BadBody, body_of
from skerry_shim.head import HEAD_MAX, BadHead, RequestHead, answer_head
from skerry_shim.loop import Signal

READ_SIZE = 64 * 1024
# Body bytes that are held for a handler that does not read (shims/README.md).
READ_AHEAD = 64 * 1024
# An unread body up to this is read and forgotten so that the connection can go on; a longer one costs more than a new connection.
DRAIN_MAX = 64 * 1024
# Answer bytes that the kernel has not taken yet, above which `send` waits.
WRITE_AHEAD = 64 * 1024


class Connection:
    __slots__ = ("server", "loop", "fd", "_exchange", "_feed", "_buffer", "_events", "_out", "_out_size", "drained", "gone",
                 "_reading", "_drain_left", "_body", "_closing", "_watched")

    def __init__(self, server, fd):
        self.server = server
        self.loop = server.loop
        self.fd = fd
        self._exchange = None
        self._feed = None          # where bytes of the exchange go; None while a head is awaited
        self._body = None
        self._drain_left = 0
        self._buffer = b""         # of the next head
        self._out = []             # what the kernel has not taken
        self._out_size = 0
        self.drained = Signal(self.loop)
        self.gone = False          # the caller went away
        self._reading = True
        self._closing = False      # close when everything is written
        self._watched = True
        self._events = EPOLLIN | EPOLLRDHUP
        self.loop.watch(fd, self._events, self._on_events)

    # Reading

    def _on_events(self, events):
        if events & EPOLLOUT:
            self._write_more()
        if events & ~EPOLLOUT and self.fd is not None:
            if self._reading:
                self._read()
            elif events & ~(EPOLLIN | EPOLLOUT):
                self._ended()

    def _read(self):
        try:
            data = os.read(self.fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended()
        elif self._feed is not None:
            self._feed(data)
        else:
            self._buffer += data
            if self._exchange is None:
                self._next_request()
            elif len(self._buffer) > READ_AHEAD:
                self.read_on(False)

    def read_on(self, reading):
        """Reading goes on or pauses. While it pauses the end of the caller is still seen."""
        if reading != self._reading:
            self._reading = reading
            self._update_events()

    def _ended(self):
        """The platform half-closed or closed: the caller is gone."""
        exchange = self._exchange
        self.gone = True
        self._out.clear()
        self._out_size = 0
        if exchange is None or self._drain_left or self._closing:
            self.close()
            return
        # Level-triggered: the end would be reported again and again until the handler has returned.
        self.loop.unwatch(self.fd)
        self._watched = False
        self.drained.fire()
        exchange.disconnected()

    # Requests

    def _next_request(self):
        """Starts the exchange of the head in the buffer, if it is whole. Between requests only."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_MAX:
                self._refuse(431)
            return
        head_bytes, rest = self._buffer[:end], self._buffer[end + 4:]
        self._buffer = b""
        if len(head_bytes) > HEAD_MAX:
            self._refuse(431)
            return
        try:
            head = RequestHead(head_bytes)
        except BadHead:
            self._refuse(400)
            return
        self.read_on(True)
        self._exchange = self.server.new_exchange(self, head)
        if not self._exchange.takes_stream:
            self._body = body_of(head)
            self._exchange.body = self._body
            self._feed = None if self._body.done else self._feed_body
        else:
            self._feed = self._exchange.data_arrived
        if rest:
            if self._feed is not None:
                self._feed(rest)
            else:
                self._buffer = rest
        self.loop.spawn(self._exchange.run())

    def _refuse(self, status):
        """Bytes that the platform never sends: an answer that says so, and the end."""
        self._closing = True
        self._reading = False
        self.write([answer_head(status, (), 0, close=True)])
        self._close_if_written()

    def _feed_body(self, data):
        try:
            pieces, rest = self._body.feed(data)
        except BadBody:
            self._ended()
            return
        if self._body.done:
            self._feed = None
            self._buffer += rest
        self._exchange.body_arrived(pieces)

    def _feed_drain(self, data):
        self._drain_left -= len(data)
        try:
            _, rest = self._body.feed(data)
        except BadBody:
            self.close()
            return
        if self._body.done:
            self._buffer = rest
            self._go_on()
        elif self._drain_left <= 0:
            self.close()

    def exchange_over(self, keep):
        """The handler has returned. `keep`: the answer is whole, so the connection may serve another request."""
        body = self._body
        if self.gone:
            self.close()
        elif not keep:
            self._close_when_written()
        elif body is not None and not body.done:
            if body.is_longer_than(DRAIN_MAX):
                self._close_when_written()
            else:
                self._drain_left = DRAIN_MAX
                self._feed = self._feed_drain
                self.read_on(True)
        else:
            self._go_on()

    def _go_on(self):
        self._exchange = None
        self._body = None
        self._feed = None
        self._drain_left = 0
        if self.server.stopping:
            self._close_when_written()
            return
        self.read_on(True)
        if self._buffer:
            self.loop.call_soon(self._next_if_idle)

    def _next_if_idle(self):
        if self.fd is not None and self._exchange is None and self._buffer:
            self._next_request()

    def close_if_idle(self):
        """For a stop: a connection without a request goes at once. What has arrived by now is a request like any other, read or not."""
        if self._exchange is None and not self._buffer and self._reading:
            self._read()
        if self.fd is None:
            return
        if self._exchange is None and not self._buffer:
            self._close_when_written()
        elif self._drain_left:
            self.close()

    # Writing

    def write(self, parts):
        """Sends buffers, or keeps what the kernel does not take. `drained` fires when that is below WRITE_AHEAD again."""
        if self.gone or not parts:
            return
        if self._out:
            for part in parts:
                self._keep(part)
            return
        try:
            sent = os.writev(self.fd, parts)
        except BlockingIOError:
            sent = 0
        except OSError:
            # Both directions are closed. The reading side sees it too, from the loop; the writer is in the middle of a handler.
            self.gone = True
            self.loop.call_soon(self._ended_by_write)
            return
        for part in parts:
            size = len(part)
            if sent >= size:
                sent -= size
            else:
                self._keep(memoryview(part)[sent:])
                sent = 0
        if self._out:
            self._update_events()

    def _ended_by_write(self):
        if self.fd is not None and self._watched:
            self._ended()

    def _keep(self, part):
        self._out.append(part)
        self._out_size += len(part)

    def _write_more(self):
        try:
            sent = os.writev(self.fd, self._out[:64])
        except BlockingIOError:
            return
        except OSError:
            self._ended()
            return
        self._out_size -= sent
        done = 0
        for part in self._out:
            if sent < len(part):
                break
            sent -= len(part)
            done += 1
        del self._out[:done]
        if sent:
            self._out[0] = memoryview(self._out[0])[sent:]
        if self._out_size <= WRITE_AHEAD:
            self.drained.fire()
        if not self._out:
            self._update_events()
            self._close_if_written()

    @property
    def is_clogged(self):
        return self._out_size > WRITE_AHEAD

    # The end

    def _close_when_written(self):
        self._closing = True
        self.read_on(False)
        self._close_if_written()

    def _close_if_written(self):
        if self._closing and not self._out:
            self.close()

    def _update_events(self):
        if not self._watched or self.fd is None:
            return
        events = EPOLLRDHUP | (EPOLLIN if self._reading else 0) | (EPOLLOUT if self._out else 0)
        if events != self._events:
            self._events = events
            self.loop.change(self.fd, events)

    def close(self):
        if self.fd is None:
            return
        if self._watched:
            self.loop.unwatch(self.fd)
            self._watched = False
        os.close(self.fd)
        self.fd = None
        self.server.closed(self)
