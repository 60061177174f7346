"""The WSGI server: a thread for each connection, blocking reads and writes, no event loop.

WSGI has no way to tell a handler that the caller went away, so it is told as far as it can be: before each piece of the answer the thread looks whether
the platform half-closed; then the iteration ends, `close()` of the iterable is called, and further `write()` calls go nowhere.

Owned by start.py. The main thread accepts and waits for SIGTERM; a connection's thread owns its socket.
"""

import os
import select
import sys
import threading
import _signal
import _socket

from skerry_shim.body import AnswerFraming, BadBody, body_of
from skerry_shim.failures import ERROR_HEADERS, error_body, print_trace
from skerry_shim.head import HEAD_MAX, BadHead, RequestHead, answer_head, check_headers, is_bodiless, split_target, unquote_bytes
from skerry_shim.wsgi_input import Input

READ_SIZE = 64 * 1024
DRAIN_MAX = 64 * 1024
CONNECTIONS_MAX = 1024


class WsgiServer:
    def __init__(self, app, listener_fd):
        self.app = app
        self.stopping = False
        self._stop_asked = False
        self._listener = _socket.socket(fileno=listener_fd)
        self._listener.setblocking(False)
        self._lock = threading.Lock()
        self._threads = set()
        self._free = threading.Semaphore(CONNECTIONS_MAX)
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)

    def serve(self, ready):
        """Says ready, then runs until SIGTERM, lets what is in progress finish, and exits."""
        _signal.signal(_signal.SIGTERM, self._on_term)
        # The kernel may give the signal to any thread; only this wakes the main one, which runs the handler.
        _signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        ready()
        poll = select.poll()
        poll.register(self._listener.fileno(), select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while not self.stopping:
            for fd, _ in poll.poll():
                if fd == self._wake_read:
                    os.read(self._wake_read, 4096)  # a signal of the author's may have woken it
                    self.stopping = self._stop_asked
                else:
                    self._accept()
        self._listener.close()
        # Every thread that waits for a request waits for the end of this pipe too.
        os.close(self._stop_write)
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()
        from skerry_shim.start import end_signals

        end_signals()
        sys.exit(0)

    def _on_term(self, _number, _frame):
        self._stop_asked = True
        try:
            os.write(self._wake_write, b"t")
        except BlockingIOError:
            pass

    def _accept(self):
        # Waits for one of the threads to end when there are too many; more connections wait in the kernel meanwhile.
        if not self._free.acquire(timeout=0.1):
            return
        try:
            fd, _ = self._listener._accept()
        except OSError:
            self._free.release()
            return
        connection = WsgiConnection(self, _socket.socket(fileno=fd))
        thread = threading.Thread(target=self._run, args=(connection,), name="connection", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _run(self, connection):
        try:
            connection.run()
        finally:
            connection.socket.close()
            with self._lock:
                self._threads.discard(threading.current_thread())
            self._free.release()


class WsgiConnection:
    def __init__(self, server, sock):
        self.server = server
        self.socket = sock
        # How the socket's calls behave is not inherited from the listener.
        sock.setblocking(True)
        self.gone = False
        self._buffer = b""
        self._fd = sock.fileno()
        self._end_poll = select.poll()
        self._end_poll.register(self._fd, select.POLLRDHUP)
        self._idle_poll = select.poll()
        self._idle_poll.register(self._fd, select.POLLIN)
        self._idle_poll.register(server.stop_read, 0)

    def run(self):
        last = False
        while not last and self._wait_request():
            # One that has arrived by the time of a stop is still served, and says that it is the last.
            last = self.server.stopping
            head = self._read_head()
            if head is None or not WsgiExchange(self, head).run():
                return

    def _wait_request(self):
        """Waits for the first bytes of a request; False when there will be none. At a stop a request that is already in the kernel is still served."""
        return bool(self._buffer) or any(fd == self._fd for fd, _ in self._idle_poll.poll())

    def _read_head(self):
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEAD_MAX:
                self.write([answer_head(431, (), 0, close=True)])
                return None
            data = self._receive()
            if not data:
                return None
            self._buffer += data
        head, self._buffer = self._buffer[:end], self._buffer[end + 4:]
        try:
            return RequestHead(head)
        except BadHead:
            self.write([answer_head(400, (), 0, close=True)])
            return None

    def _receive(self):
        try:
            return self.socket.recv(READ_SIZE)
        except OSError:
            return b""

    def read(self):
        """The next bytes of the connection; b"" when the caller is gone."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        data = self._receive()
        if not data:
            self.gone = True
        return data

    def unread(self, data):
        self._buffer = data + self._buffer

    def is_gone(self):
        """Looks, without waiting, whether the platform half-closed."""
        if not self.gone and self._end_poll.poll(0):
            self.gone = True
        return self.gone

    def write(self, parts):
        """Sends everything or sees that the caller went away, then sends nothing."""
        if self.is_gone():
            return
        parts = [memoryview(part) for part in parts if len(part)]
        while parts:
            try:
                sent = self.socket.sendmsg(parts, (), _socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._wait_writable()
                if self.gone:
                    return
                continue
            except OSError:
                self.gone = True
                return
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if sent:
                parts[0] = parts[0][sent:]

    def _wait_writable(self):
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT | select.POLLRDHUP)
        for _, events in poll.poll():
            if events & ~select.POLLOUT:
                self.gone = True


class WsgiExchange:
    """One request: environ, start_response, the answer."""

    def __init__(self, connection, head):
        self._connection = connection
        self._head = head
        self._body = body_of(head)
        self._start = None      # (status, headers, length) once said and not sent
        self._framing = None    # once the head is sent
        self._whole = False

    def run(self):
        """Whether the connection may serve another request."""
        try:
            self._call_app()
        except BaseException as error:  # SystemExit too: the handler failed, the process lives
            print_trace(error)
            if self._framing is None:
                self._start = (500, ERROR_HEADERS, None)
                self._send(error_body(self._head.request_id), True, whole=True)
        return self._whole and not self._connection.gone and self._drain()

    def _call_app(self):
        answer = self._connection.server.app(self._environ(), self._start_response)
        try:
            self._send_answer(answer)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()

    def _send_answer(self, answer):
        if isinstance(answer, (list, tuple)):
            # The whole answer is there, so its length is known.
            self._send(b"".join(answer), True, whole=self._framing is None)
            return
        for piece in answer:
            # The head goes with the first bytes (PEP 3333), so that an application may still change its mind.
            if piece:
                self._send(piece, False)
            if self._connection.is_gone():
                return
        self._send(b"", True, whole=self._framing is None)

    def _start_response(self, status, headers, exc_info=None):
        if exc_info is not None:
            try:
                if self._framing is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._start is not None or self._framing is not None:
            raise AssertionError("start_response was called a second time without exc_info")
        code = int(status[:3])
        if not 200 <= code <= 999:
            raise ValueError(f"not a final status: {status!r}")
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._start = (code, *check_headers(pairs))
        return self._write

    def _write(self, data):
        if data:
            self._send(data, False)

    def _send(self, data, last, whole=False):
        """`whole`: nothing was sent yet and nothing will follow, so the length of `data` is the answer's."""
        if not isinstance(data, bytes):
            raise TypeError(f"the body must be bytes, not {type(data).__name__}")
        parts = []
        framing = self._framing
        if framing is None:
            if self._start is None:
                raise RuntimeError("the application gave a body before start_response was called")
            status, headers, length = self._start
            bodiless = is_bodiless(self._head.method, status)
            if status == 204:
                length = None
            elif length is None and whole and status != 304:
                length = len(data)
            elif length is None and not bodiless:
                length = "chunked"
            framing = AnswerFraming(length, bodiless)
            parts = framing.take(data, last)
            parts.insert(0, answer_head(status, headers, length, close=self._connection.server.stopping))
            self._framing = framing
        else:
            parts = framing.take(data, last)
        self._connection.write(parts)
        if last:
            if framing.is_short:
                raise ValueError("the answer ended before its content-length")
            self._whole = True

    def _drain(self):
        """Reads what is left of a short body; False if it is too long to be worth it."""
        budget = DRAIN_MAX
        while not self._body.done:
            if budget <= 0 or self._body.is_longer_than(budget):
                return False
            budget -= sum(map(len, self.read_pieces())) or 1
            if self._connection.gone:
                return False
        return True

    def read_pieces(self):
        """The next pieces of the request's body; [] at its end or when the caller is gone."""
        while not self._body.done:
            data = self._connection.read()
            if not data:
                return []
            try:
                pieces, rest = self._body.feed(data)
            except BadBody:
                self._connection.gone = True
                return []
            if rest:
                self._connection.unread(rest)
            if pieces:
                return pieces
        return []

    def _environ(self):
        head = self._head
        _, raw_path, query = split_target(head.target)
        name, port = head.server()
        target = head.target.decode("latin-1")
        environ = {
            "REQUEST_METHOD": head.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_bytes(raw_path).decode("latin-1"),
            "QUERY_STRING": query.decode("latin-1"),
            "RAW_URI": target,
            "REQUEST_URI": target,
            "SERVER_NAME": name,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": head.caller() or "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": head.scheme(),
            "wsgi.input": Input(self.read_pieces, lambda: self._connection.gone),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        for header, value in head.headers:
            key = header.decode("latin-1")
            if "_" in key:
                # SECURITY: `x_forwarded_for` would become the same variable as the platform's `x-forwarded-for`, which the caller must not write.
                continue
            key = key.replace("-", "_").upper()
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                key = "HTTP_" + key
            text = value.decode("latin-1")
            if key in environ:
                text = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
            environ[key] = text
        return environ
