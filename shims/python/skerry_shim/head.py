"""Request heads in, answer heads out; no I/O. Used by the event loop's connections and by the WSGI threads.

The platform has checked and rewritten the framing (shims/README.md), so this trusts Content-Length and Transfer-Encoding where they parse. It refuses what
it cannot parse, and it refuses answer headers that would let an author's data become a second answer.
"""

# The contract's header block is 64 KB; the platform adds a few forwarding headers of its own.
HEAD_MAX = 96 * 1024
LENGTH_DIGITS_MAX = 18

_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CONTROLS = bytes(c for c in range(32) if c != 9) + b"\x7f"

# Ours to decide: what an author says about the connection or the framing of chunks is not passed on.
_HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te", b"trailer"))

REASONS = {
    101: b"Switching Protocols",
    200: b"OK", 201: b"Created", 202: b"Accepted", 203: b"Non-Authoritative Information", 204: b"No Content", 205: b"Reset Content",
    206: b"Partial Content", 207: b"Multi-Status", 300: b"Multiple Choices", 301: b"Moved Permanently", 302: b"Found", 303: b"See Other",
    304: b"Not Modified", 307: b"Temporary Redirect", 308: b"Permanent Redirect", 400: b"Bad Request", 401: b"Unauthorized",
    402: b"Payment Required", 403: b"Forbidden", 404: b"Not Found", 405: b"Method Not Allowed", 406: b"Not Acceptable",
    408: b"Request Timeout", 409: b"Conflict", 410: b"Gone", 411: b"Length Required", 412: b"Precondition Failed", 413: b"Content Too Large",
    414: b"URI Too Long", 415: b"Unsupported Media Type", 416: b"Range Not Satisfiable", 418: b"I'm a teapot", 421: b"Misdirected Request",
    422: b"Unprocessable Content", 425: b"Too Early", 426: b"Upgrade Required", 428: b"Precondition Required", 429: b"Too Many Requests",
    431: b"Request Header Fields Too Large", 451: b"Unavailable For Legal Reasons", 500: b"Internal Server Error", 501: b"Not Implemented",
    502: b"Bad Gateway", 503: b"Service Unavailable", 504: b"Gateway Timeout",
}


class BadHead(Exception):
    """The bytes are no request head that the platform would send."""


class RequestHead:
    """One parsed head. `headers` are lower-case bytes, repeated ones repeated, in order. `length` is None for a chunked body."""

    __slots__ = ("method", "target", "headers", "length", "chunked", "request_id", "upgrade")

    def __init__(self, data):
        """`data` is the head without its empty last line."""
        lines = data.split(b"\r\n")
        parts = lines[0].split(b" ")
        if len(parts) != 3 or parts[2] != b"HTTP/1.1" or not parts[0] or not parts[1]:
            raise BadHead("request line")
        self.method = parts[0].decode("latin-1")
        self.target = parts[1]
        self.length = 0
        self.chunked = False
        self.request_id = b""
        self.upgrade = b""
        self.headers = headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or not name or name.translate(None, _TOKEN):
                raise BadHead("header line")
            name = name.lower()
            value = value.strip(b" \t")
            headers.append((name, value))
            if name == b"content-length":
                if not value.isdigit() or len(value) > LENGTH_DIGITS_MAX or self.chunked or self.length:
                    raise BadHead("content-length")
                self.length = int(value)
            elif name == b"transfer-encoding":
                if value.lower() != b"chunked" or self.chunked or self.length:
                    raise BadHead("transfer-encoding")
                self.chunked = True
                self.length = None
            elif name == b"x-request-id":
                self.request_id = value
            elif name == b"upgrade":
                self.upgrade = value.lower()

    def all(self, name):
        return [value for known, value in self.headers if known == name]

    def first(self, name, default=b""):
        for known, value in self.headers:
            if known == name:
                return value
        return default

    def scheme(self):
        return "http" if self.first(b"x-forwarded-proto").lower() == b"http" else "https"

    def caller(self):
        """The caller's address: the last one that was forwarded for, which the platform wrote."""
        forwarded = self.all(b"x-forwarded-for")
        return forwarded[-1].rpartition(b",")[2].strip().decode("latin-1") if forwarded else None

    def server(self):
        """The public (name, port) from `host`."""
        host = self.first(b"host").decode("latin-1")
        name, colon, port = host.rpartition(":")
        if colon and port.isdigit() and not name.endswith(":") and (not name.startswith("[") or name.endswith("]")):
            return name, int(port)
        return host, 80 if self.scheme() == "http" else 443


def split_target(target):
    """(decoded path, raw path, raw query) of a request target."""
    raw_path, _, query = target.partition(b"?")
    return unquote(raw_path), raw_path, query


def unquote(raw):
    """Percent-decoded UTF-8; what is not UTF-8 becomes U+FFFD, what is no escape stays. `urllib.parse` would cost its import at start."""
    return unquote_bytes(raw).decode("utf-8", "replace")


def unquote_bytes(raw):
    if b"%" not in raw:
        return raw
    first, *rest = raw.split(b"%")
    out = [first]
    for part in rest:
        try:
            out.append(_ESCAPES[part[:2]])
            out.append(part[2:])
        except KeyError:
            out.append(b"%" + part)
    return b"".join(out)


_HEX = b"0123456789abcdefABCDEF"
_ESCAPES = {bytes((a, b)): bytes((int(bytes((a, b)), 16),)) for a in _HEX for b in _HEX}


def is_bodiless(method, status):
    return method == "HEAD" or status == 204 or status == 304


def check_headers(headers):
    """[(lower-case name, value)] without hop-by-hop ones, and the author's content-length or None. Raises ValueError for what cannot be sent."""
    checked = []
    length = None
    for name, value in headers:
        # SECURITY: a CR or LF in a value, or a colon in a name, would let whoever controls it add headers or a whole answer (response splitting).
        if not name or name.translate(None, _TOKEN):
            raise ValueError(f"not a header name: {bytes(name)!r}")
        if len(value.translate(None, _CONTROLS)) != len(value):
            raise ValueError(f"control characters in the value of header {bytes(name).decode()!r}")
        name = bytes(name).lower()
        if name in _HOP_BY_HOP:
            continue
        value = bytes(value)
        if name == b"content-length":
            value = value.strip()
            if not value.isdigit() or len(value) > LENGTH_DIGITS_MAX or (length is not None and length != int(value)):
                raise ValueError(f"not a content-length: {value!r}")
            if length is None:
                length = int(value)
            continue
        checked.append((name, value))
    return checked, length


def answer_head(status, headers, framing, close=False):
    """The bytes of an answer's head. `framing` is a length, "chunked", or None for neither."""
    lines = [b"HTTP/1.1 %d %b" % (status, REASONS.get(status, b""))]
    lines += [b"%b: %b" % header for header in headers]
    if framing == "chunked":
        lines.append(b"transfer-encoding: chunked")
    elif framing is not None:
        lines.append(b"content-length: %d" % framing)
    if close:
        lines.append(b"connection: close")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)
