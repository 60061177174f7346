"""One WebSocket as an ASGI application sees it: handshake, messages, the end.

Made by the server for an upgrade request when the function is an `app` object; from then on the connection's bytes are its own. Answers pings by itself.
"""

from skerry_shim import websocket as ws
from skerry_shim.asgi import scope_of
from skerry_shim.failures import ERROR_HEADERS, error_body, print_trace
from skerry_shim.head import answer_head, check_headers
from skerry_shim.loop import Signal

# Messages that were read and not yet asked for: past either, nothing more is read.
_WAITING_MESSAGES_MAX = 64
_WAITING_BYTES_MAX = 64 * 1024


class WebSocketExchange:
    takes_stream = True

    def __init__(self, server, connection, head):
        self._server = server
        self._connection = connection
        self._head = head
        self._decoder = ws.Decoder()
        self._changed = Signal(server.loop)
        self._events = [{"type": "websocket.connect"}]
        self._waiting_bytes = 0
        self._state = "connecting"  # then "open", then "closed": nothing more is sent
        self._end = None            # the disconnect event, once there is an end

    async def run(self):
        """The application's whole life on this socket. Never raises."""
        head = self._head
        try:
            key = head.first(b"sec-websocket-key")
            if not ws.is_valid_key(key) or head.first(b"sec-websocket-version") != b"13":
                self._refuse(400)
                return
            scope = scope_of("websocket", head, self._server.state)
            scope["subprotocols"] = [
                word.strip().decode("latin-1") for value in head.all(b"sec-websocket-protocol") for word in value.split(b",") if word.strip()
            ]
            await self._server.app(scope, self.receive, self.send)
            if self._state == "connecting":
                self._refuse(403)
            elif self._state == "open":
                self._close(ws.NORMAL, "")
        except BaseException as error:
            print_trace(error)
            self._fail()
        finally:
            self._state = "closed"
            self._finish(ws.ABNORMAL, "")
            self._server.stream_over(self)
            self._connection.exchange_over(False)

    def _fail(self):
        if self._state == "connecting":
            body = error_body(self._head.request_id)
            self._connection.write([answer_head(500, ERROR_HEADERS, len(body), close=True) + body])
        elif self._state == "open":
            self._close(ws.INTERNAL, "")

    # From the connection

    def data_arrived(self, data):
        if self._end is not None:
            return  # after the end nothing is a message
        try:
            for event in self._decoder.feed(data):
                self._arrived(*event)
        except ws.ProtocolError as error:
            self._close(error.code, error.reason)
            self._finish(error.code, error.reason)
        if len(self._events) >= _WAITING_MESSAGES_MAX or self._waiting_bytes >= _WAITING_BYTES_MAX:
            self._connection.read_on(False)
        self._changed.fire()

    def _arrived(self, kind, value, reason=""):
        if kind == "ping":
            if self._state == "open":
                self._connection.write(ws.frame(ws.PONG, value))
        elif kind == "close":
            self._close(value, "")
            self._finish(value, reason)
        elif kind != "pong":
            self._waiting_bytes += len(value)
            self._events.append({"type": "websocket.receive", "bytes": value if kind == "bytes" else None, "text": value if kind == "text" else None})

    def disconnected(self):
        self._state = "closed"
        self._finish(ws.ABNORMAL, "")
        self._changed.fire()

    def server_stops(self):
        if self._state == "open":
            self._close(ws.RESTART, "")
        self._finish(ws.RESTART, "")
        self._changed.fire()

    def _finish(self, code, reason):
        if self._end is None:
            self._end = {"type": "websocket.disconnect", "code": code, "reason": reason}

    # For the application

    async def receive(self):
        while True:
            if self._events:
                event = self._events.pop(0)
                self._waiting_bytes -= len(event.get("text") or event.get("bytes") or "")
                if self._end is None:
                    self._connection.read_on(True)
                return event
            if self._end is not None:
                return dict(self._end)
            await self._changed

    async def send(self, message):
        kind = message["type"]
        if kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            if self._state == "connecting":
                self._refuse(403)
            else:
                self._close(message.get("code", ws.NORMAL), message.get("reason") or "")
                self._finish(message.get("code", ws.NORMAL), message.get("reason") or "")
        elif kind == "websocket.send":
            await self._say(message)
        else:
            raise RuntimeError(f"the application sent {kind!r} on a websocket")

    def _accept(self, message):
        if self._state == "closed":
            return  # the caller went away meanwhile
        if self._state != "connecting":
            raise RuntimeError("a second 'websocket.accept'")
        headers, _ = check_headers(message.get("headers", ()))
        headers = [header for header in headers if not header[0].startswith(b"sec-websocket-")]
        lines = [(b"upgrade", b"websocket"), (b"connection", b"upgrade"), (b"sec-websocket-accept", ws.accept_key(self._head.first(b"sec-websocket-key")))]
        if message.get("subprotocol"):
            lines += check_headers([(b"sec-websocket-protocol", message["subprotocol"].encode("latin-1"))])[0]
        self._state = "open"
        self._connection.write([answer_head(101, lines + headers, None)])

    async def _say(self, message):
        if self._state == "connecting":
            raise RuntimeError("'websocket.send' before 'websocket.accept'")
        if self._state == "closed":
            return
        data, text = message.get("bytes"), message.get("text")
        if data is not None:
            self._connection.write(ws.frame(ws.BINARY, bytes(data)))
        else:
            self._connection.write(ws.frame(ws.TEXT, text.encode("utf-8")))
        while self._connection.is_clogged and self._state == "open" and not self._connection.gone:
            await self._connection.drained

    def _refuse(self, status):
        if self._state == "connecting":
            self._state = "closed"
            self._connection.write([answer_head(status, (), 0, close=True)])
            self._finish(ws.ABNORMAL, "")

    def _close(self, code, reason):
        """Sends the close frame, once."""
        if self._state == "open":
            self._state = "closed"
            self._connection.write(ws.close_frame(code, reason))
