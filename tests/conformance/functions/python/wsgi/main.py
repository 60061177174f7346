"""The conformance function as a WSGI application."""

import hashlib
import json
import os
import subprocess
import sys
import threading

gates = {}
gates_lock = threading.Lock()

REASONS = {200: "200 OK", 204: "204 No Content", 304: "304 Not Modified", 404: "404 Not Found"}


def gate_named(name):
    with gates_lock:
        return gates.setdefault(name, threading.Semaphore(0))


def pieces_of(environ):
    """The body as it arrives: a line or 64 KiB at a time."""
    return iter(lambda: environ["wsgi.input"].readline(65536), b"")


def pattern(start, size):
    unit = bytes(range(251))
    offset = start % 251
    return (unit * (size // 251 + 2))[offset:offset + size]


def text(start_response, text, status=200):
    start_response(REASONS[status], [("Content-Type", "text/plain")])
    return [text.encode()]


def as_json(start_response, value):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(value).encode()]


def digest_of(environ, each=lambda size: None):
    size, digest = 0, hashlib.sha256()
    for piece in pieces_of(environ):
        size += len(piece)
        digest.update(piece)
        each(size)
    return {"bytes": size, "sha256": digest.hexdigest()}


def hello(environ, start, query):
    return text(start, "hello\n")


def request(environ, start, query):
    headers = [[key[5:].replace("_", "-").lower(), value] for key, value in environ.items() if key.startswith("HTTP_")]
    headers += [[key.replace("_", "-").lower(), environ[key]] for key in ("CONTENT_TYPE", "CONTENT_LENGTH") if key in environ]
    return as_json(start, {
        "method": environ["REQUEST_METHOD"], "path": environ["PATH_INFO"].encode("latin-1").decode("utf-8"),
        "raw_path": environ["RAW_URI"].partition("?")[0], "query": environ["QUERY_STRING"], "scheme": environ["wsgi.url_scheme"],
        "client": environ["REMOTE_ADDR"], "headers": headers, **digest_of(environ),
    })


def echo(environ, start, query):
    start("200 OK", [("Content-Type", environ.get("CONTENT_TYPE") or "application/octet-stream")])
    return pieces_of(environ)


def digest(environ, start, query):
    return as_json(start, digest_of(environ))


def upload(environ, start, query):
    return as_json(start, digest_of(environ, lambda size: print(f"upload {query['id']} {size}")))


def hold(environ, start, query):
    print(f"hold {query['gate']}")
    gate_named(query["gate"]).acquire()
    return digest(environ, start, query)


def unread(environ, start, query):
    return text(start, "unread\n")


def bytes_(environ, start, query):
    size = int(query["n"])
    headers = [("Content-Type", "application/octet-stream")]
    if query["framing"] == "length":
        headers.append(("Content-Length", str(size)))
    start("200 OK", headers)
    return (pattern(at, min(65536, size - at)) for at in range(0, size, 65536))


def empty(environ, start, query):
    start("200 OK", [])
    return []


def status(environ, start, query):
    code = int(query["code"])
    start(REASONS.get(code, f"{code} Status"), [("X-Conformance", "status")])
    return []


def repeated(environ, start, query):
    start("200 OK", [("Content-Type", "text/plain"), ("X-Repeated", "one"), ("X-Repeated", "two"),
                     ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2, c; Path=/")])
    return [b"ok\n"]


def stream(environ, start, query):
    start("200 OK", [("Content-Type", "text/plain")])
    return streamed(query["gate"], int(query["n"]))


def streamed(name, count):
    try:
        for number in range(count):
            if number:
                gate_named(name).acquire()
            yield f"piece {number}\n".encode()
    finally:
        print(f"stream end {name}")


def gate(environ, start, query):
    gate_named(query["name"]).release()
    start("204 No Content", [])
    return []


def wait(environ, start, query):
    name = query["gate"]
    print(f"wait begin {name}")
    gate_named(name).acquire()
    print(f"wait end {name}")
    return text(start, "waited\n")


def error_before(environ, start, query):
    raise ValueError("conformance before")


def error_after(environ, start, query):
    start("200 OK", [("Content-Type", "text/plain")])
    return partial()


def error_short(environ, start, query):
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    return partial()


def partial():
    yield b"partial\n"
    raise ValueError("conformance after")


def env(environ, start, query):
    return as_json(start, {"env": dict(os.environ), "cwd": os.getcwd()})


def descriptors(environ, start, query):
    done = subprocess.run(["/bin/sh", "-c", 'for f in /proc/$$/fd/*; do readlink "$f"; done'], close_fds=False, stdout=subprocess.PIPE)
    return text(start, done.stdout.decode())


def print_(environ, start, query):
    print(query["out"])
    print(query["err"], file=sys.stderr)
    gate_named(query["gate"]).acquire()
    start("204 No Content", [])
    return []


PATHS = {
    "/hello": hello, "/request": request, "/echo": echo, "/digest": digest, "/upload": upload, "/hold": hold, "/unread": unread, "/bytes": bytes_,
    "/empty": empty, "/status": status, "/repeated": repeated, "/stream": stream, "/gate": gate, "/wait": wait,
    "/error/before": error_before, "/error/after": error_after, "/error/short": error_short, "/env": env, "/descriptors": descriptors,
    "/print": print_,
}


def app(environ, start_response):
    path = environ["PATH_INFO"]
    handler = request if path.startswith("/request/") else PATHS.get(path)
    if handler is None:
        return text(start_response, "no such path\n", 404)
    query = dict(pair.partition("=")[::2] for pair in environ["QUERY_STRING"].split("&"))
    return handler(environ, start_response, query)
