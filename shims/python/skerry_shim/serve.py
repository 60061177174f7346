"""The ASGI server: accepts on descriptor 3, counts what is in progress, and stops in order.

Owned by start.py. One for each process; every connection is independent of the others.
"""

import os
import select
import _signal
import _socket

from skerry_shim.asgi import HttpExchange
from skerry_shim.connection import Connection

LISTENER = 3
# More than any function's `concurrency`; past it new connections wait in the kernel.
CONNECTIONS_MAX = 1024


class Server:
    """`app` is called as an ASGI application. `websockets`: whether it may be given websocket scopes."""

    def __init__(self, loop, app, websockets, state=None, listener_fd=LISTENER):
        self.loop = loop
        self.app = app
        self.state = state
        self.stopping = False
        self._websockets = websockets
        self._connections = set()
        self._streams = set()
        self._accepting = False
        self._stop_asked = False
        self._listener = _socket.socket(fileno=listener_fd)
        self._listener.setblocking(False)

    def serve(self, ready):
        """Says ready, then runs until SIGTERM, and until what was in progress then is over."""
        _signal.signal(_signal.SIGTERM, self._on_term)
        # The kernel may give the signal to any of the author's threads; only this wakes the main one, which runs the handler.
        _signal.set_wakeup_fd(self.loop.wake_fd, warn_on_full_buffer=False)
        self._accept_on(True)
        ready()
        self.loop.run()

    def _on_term(self, _number, _frame):
        # Runs between two bytecodes of whatever the main thread does, so it only leaves word.
        if not self._stop_asked:
            self._stop_asked = True
            self.loop.call_from_signal(self._stop)

    def _accept_on(self, accepting):
        if accepting != self._accepting:
            self._accepting = accepting
            if accepting:
                # Accepted after the whole batch of events was handled: a new connection may get the number of one closed in the same batch.
                self.loop.watch(self._listener.fileno(), select.EPOLLIN, lambda _events: self.loop.call_soon(self._accept))
            else:
                self.loop.unwatch(self._listener.fileno())

    def _accept(self):
        if not self._accepting:
            return
        try:
            fd, _ = self._listener._accept()
        except BlockingIOError:
            return
        except OSError:
            # Out of descriptors. The listener stays readable, so watching it on would spin; the next connection that closes gives one back.
            if self._connections:
                self._accept_on(False)
            return
        os.set_blocking(fd, False)
        self._connections.add(Connection(self, fd))
        if len(self._connections) >= CONNECTIONS_MAX:
            self._accept_on(False)

    def _stop(self):
        self.stopping = True
        self._accept_on(False)
        self._listener.close()
        for connection in list(self._connections):
            connection.close_if_idle()
        for stream in list(self._streams):
            stream.server_stops()
        self._stop_if_done()

    def _stop_if_done(self):
        if self.stopping and not self._connections:
            self.loop.stop()

    # From connections and exchanges

    def new_exchange(self, connection, head):
        if self._websockets and head.upgrade == b"websocket" and head.method == "GET":
            from skerry_shim.ws_exchange import WebSocketExchange

            exchange = WebSocketExchange(self, connection, head)
            self._streams.add(exchange)
            return exchange
        return HttpExchange(self, connection, head)

    def stream_over(self, exchange):
        self._streams.discard(exchange)

    def closed(self, connection):
        self._connections.discard(connection)
        if self.stopping:
            self._stop_if_done()
        elif len(self._connections) < CONNECTIONS_MAX:
            self._accept_on(True)
