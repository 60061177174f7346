"""One HTTP request as an ASGI application sees it: its scope, `receive` and `send`.

Made by the connection for each head. Follows the ASGI HTTP specification 2.3, so frameworks listen for `http.disconnect` instead of relying on `send` to
raise: what a handler writes after the caller went away is thrown away (shims/README.md). The head is sent with the first body message, as the
specification asks, so an exception up to there is a clean 500.
"""

from skerry_shim.body import AnswerFraming
from skerry_shim.connection import READ_AHEAD
from skerry_shim.failures import ERROR_HEADERS, error_body, print_trace
from skerry_shim.head import answer_head, check_headers, is_bodiless, split_target
from skerry_shim.loop import Signal

ASGI = {"version": "3.0", "spec_version": "2.3"}
_BYTES = (bytes, bytearray, memoryview)


def scope_of(kind, head, state):
    path, raw_path, query = split_target(head.target)
    caller = head.caller()
    scheme = head.scheme()
    scope = {
        "type": kind,
        "asgi": ASGI.copy(),
        "http_version": "1.1",
        "scheme": scheme if kind == "http" else {"http": "ws", "https": "wss"}[scheme],
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": head.headers,
        "client": (caller, 0) if caller else None,
        "server": head.server(),
    }
    if kind == "http":
        scope["method"] = head.method.upper()
    if state is not None:
        scope["state"] = state.copy()
    return scope


class HttpExchange:
    """`body` is set by the connection: it knows when the request's body is over."""

    takes_stream = False
    __slots__ = ("_connection", "_head", "_server", "body", "_changed", "_pieces", "_ahead", "_end_given", "_gone",
                 "_start", "_framing", "_answered")

    def __init__(self, server, connection, head):
        self._server = server
        self._connection = connection
        self._head = head
        self.body = None
        self._changed = Signal(server.loop)
        self._pieces = []
        self._ahead = 0            # bytes in _pieces
        self._end_given = False    # the handler has the end of the body
        self._gone = False
        self._start = None         # (status, headers, length) once said and not sent
        self._framing = None       # once the head is sent
        self._answered = False

    async def run(self):
        """The handler's whole life. Never raises: whatever the author's code throws ends here, SystemExit included."""
        try:
            await self._server.app(scope_of("http", self._head, self._server.state), self.receive, self.send)
            if not self._answered and not self._gone:
                raise RuntimeError("the handler returned without " + ("an answer" if self._framing is None else "the end of its answer"))
        except BaseException as error:
            print_trace(error)
            self._fail()
        finally:
            whole = self._answered
            # A task that the handler left behind and that still asks learns that it is over.
            self._gone = True
            self._changed.fire()
            self._connection.exchange_over(whole)

    def _fail(self):
        if self._framing is not None or self._gone:
            return
        self._start = (500, ERROR_HEADERS, None)
        self._send_whole(error_body(self._head.request_id))

    # From the connection

    def body_arrived(self, pieces):
        self._pieces += pieces
        self._ahead += sum(map(len, pieces))
        if self._ahead >= READ_AHEAD and not self.body.done:
            self._connection.read_on(False)
        self._changed.fire()

    def disconnected(self):
        self._gone = True
        self._pieces.clear()
        self._changed.fire()

    # For the handler

    async def receive(self):
        while True:
            if self._gone or self._answered:
                return {"type": "http.disconnect"}
            if self._pieces or (self.body.done and not self._end_given):
                return self._take()
            await self._changed

    def _take(self):
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        self._ahead = 0
        self._end_given = self.body.done
        if not self._end_given:
            self._connection.read_on(True)
        return {"type": "http.request", "body": data, "more_body": not self._end_given}

    async def send(self, message):
        kind = message["type"]
        if self._answered:
            raise RuntimeError(f"{kind!r} after the answer was complete")
        if kind == "http.response.start":
            self._say_start(message)
        elif kind == "http.response.body":
            await self._say_body(message)
        else:
            raise RuntimeError(f"the handler sent {kind!r}; 'http.response.start' and 'http.response.body' are known")

    def _say_start(self, message):
        if self._start is not None or self._framing is not None:
            raise RuntimeError("a second 'http.response.start'")
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 999:
            raise ValueError(f"not a final status: {status!r}")
        self._start = (int(status), *check_headers(message.get("headers", ())))

    async def _say_body(self, message):
        data = message.get("body", b"")
        if not isinstance(data, _BYTES):
            raise TypeError(f"the body must be bytes, not {type(data).__name__}")
        if not isinstance(data, bytes):
            # A copy: the author may change the buffer before the kernel has taken it.
            data = bytes(data)
        more = message.get("more_body", False)
        if self._framing is None:
            if self._start is None:
                raise RuntimeError("'http.response.body' before 'http.response.start'")
            if more:
                self._send_first(data)
            else:
                self._send_whole(data)
        else:
            self._send_more(data, not more)
        connection = self._connection
        while connection.is_clogged and not self._gone:
            await connection.drained

    def _send_whole(self, data):
        status, headers, length = self._start
        bodiless = is_bodiless(self._head.method, status)
        if status == 204:
            length = None
        elif length is None and status != 304:
            length = len(data)
        self._send_head(status, headers, length, bodiless, data, True)

    def _send_first(self, data):
        status, headers, length = self._start
        bodiless = is_bodiless(self._head.method, status)
        if status == 204:
            length = None
        elif length is None and not bodiless:
            length = "chunked"
        self._send_head(status, headers, length, bodiless, data, False)

    def _send_head(self, status, headers, framing, bodiless, data, last):
        answer = AnswerFraming(framing, bodiless)
        # Checked before anything is sent: a body longer than its content-length is still a clean 500 here.
        parts = answer.take(data, last)
        self._framing = answer
        self._start = None
        head = answer_head(status, headers, framing, close=self._server.stopping)
        if parts and len(parts[0]) < 16384:
            parts[0] = head + parts[0]
        else:
            parts.insert(0, head)
        self._connection.write(parts)
        self._over_if(last)

    def _send_more(self, data, last):
        self._connection.write(self._framing.take(data, last))
        self._over_if(last)

    def _over_if(self, last):
        if not last:
            return
        if self._framing.is_short:
            raise ValueError("the answer ended before its content-length")
        self._answered = True
        self._changed.fire()
