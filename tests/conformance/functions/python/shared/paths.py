"""The paths of SPEC.md as one ASGI handler, used by the projects `new` and `asgi`. Imports asyncio only where it waits: most functions never do."""

import hashlib
import json
import os
import subprocess
import sys

gates = {}
starts = {"starts": 0, "value": None}


async def pass_gate(name):
    import asyncio

    await gates.setdefault(name, asyncio.Semaphore(0)).acquire()


def open_gate(name):
    import asyncio

    gates.setdefault(name, asyncio.Semaphore(0)).release()


def query_of(scope):
    pairs = (pair.partition("=") for pair in scope["query_string"].decode().split("&"))
    return {name: value for name, _, value in pairs}


def pattern(start, size):
    unit = bytes(range(251))
    offset = start % 251
    return (unit * (size // 251 + 2))[offset:offset + size]


class Call:
    """One request, with what the paths need."""

    def __init__(self, scope, receive, send):
        self.scope, self.receive, self.send = scope, receive, send
        self.query = query_of(scope)

    async def pieces(self):
        while True:
            message = await self.receive()
            if message["type"] != "http.request":
                raise RuntimeError("the caller went away")
            if message["body"]:
                yield message["body"]
            if not message["more_body"]:
                return

    async def head(self, status=200, *headers):
        await self.send({"type": "http.response.start", "status": status, "headers": [(k.encode(), v.encode()) for k, v in headers]})

    async def piece(self, data, more=True):
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def text(self, text, status=200):
        await self.head(status, ("content-type", "text/plain"))
        await self.piece(text.encode(), False)

    async def json(self, value):
        await self.head(200, ("content-type", "application/json"))
        await self.piece(json.dumps(value).encode(), False)

    async def digest(self):
        size, digest = 0, hashlib.sha256()
        async for piece in self.pieces():
            size += len(piece)
            digest.update(piece)
            yield size, digest.hexdigest


async def hello(call):
    await call.text("hello\n")


async def request(call):
    scope = call.scope
    size, hexdigest = 0, hashlib.sha256().hexdigest
    async for size, hexdigest in call.digest():
        pass
    await call.json({
        "method": scope["method"], "path": scope["path"], "raw_path": scope["raw_path"].decode("latin-1"),
        "query": scope["query_string"].decode("latin-1"), "scheme": scope["scheme"], "client": scope["client"][0],
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "bytes": size, "sha256": hexdigest(),
    })


async def echo(call):
    kind = dict(call.scope["headers"]).get(b"content-type", b"application/octet-stream").decode("latin-1")
    begun = False
    async for piece in call.pieces():
        if not begun:
            await call.head(200, ("content-type", kind))
            begun = True
        await call.piece(piece)
    if not begun:
        await call.head(200, ("content-type", kind))
    await call.piece(b"", False)


async def digest(call):
    size, hexdigest = 0, hashlib.sha256().hexdigest
    async for size, hexdigest in call.digest():
        if "id" in call.query:
            print(f"upload {call.query['id']} {size}")
    await call.json({"bytes": size, "sha256": hexdigest()})


async def hold(call):
    print(f"hold {call.query['gate']}")
    await pass_gate(call.query["gate"])
    del call.query["gate"]
    await digest(call)


async def unread(call):
    await call.text("unread\n")


async def bytes_(call):
    size = int(call.query["n"])
    headers = [("content-type", "application/octet-stream")]
    if call.query["framing"] == "length":
        headers.append(("content-length", str(size)))
    await call.head(200, *headers)
    for start in range(0, size, 65536):
        await call.piece(pattern(start, min(65536, size - start)))
    await call.piece(b"", False)


async def empty(call):
    await call.head()
    await call.piece(b"", False)


async def status(call):
    await call.head(int(call.query["code"]), ("x-conformance", "status"))
    await call.piece(b"", False)


async def repeated(call):
    await call.head(200, ("content-type", "text/plain"), ("x-repeated", "one"), ("x-repeated", "two"),
                    ("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2, c; Path=/"))
    await call.piece(b"ok\n", False)


async def stream(call):
    name, count = call.query["gate"], int(call.query["n"])
    try:
        await call.head(200, ("content-type", "text/plain"))
        for number in range(count):
            if number:
                await pass_gate(name)
            await call.piece(f"piece {number}\n".encode())
        await call.piece(b"", False)
    finally:
        print(f"stream end {name}")


async def gate(call):
    open_gate(call.query["name"])
    await call.head(204)
    await call.piece(b"", False)


async def wait(call):
    name = call.query["gate"]
    print(f"wait begin {name}")
    await pass_gate(name)
    print(f"wait end {name}")
    await call.text("waited\n")


async def told(call):
    name = call.query["id"]
    await call.receive()
    print(f"told waiting {name}")
    message = await call.receive()
    if message["type"] == "http.disconnect":
        print(f"told {name}")
    await pass_gate(name)
    print(f"told returned {name}")


async def error_before(call):
    raise ValueError("conformance before")


async def error_after(call):
    await call.head(200, ("content-type", "text/plain"))
    await call.piece(b"partial\n")
    raise ValueError("conformance after")


async def error_short(call):
    await call.head(200, ("content-type", "text/plain"), ("content-length", "100"))
    await call.piece(b"partial\n")
    raise ValueError("conformance after")


async def env(call):
    await call.json({"env": dict(os.environ), "cwd": os.getcwd()})


async def descriptors(call):
    done = subprocess.run(["/bin/sh", "-c", 'for f in /proc/$$/fd/*; do readlink "$f"; done'], close_fds=False, stdout=subprocess.PIPE)
    await call.text(done.stdout.decode())


async def print_(call):
    print(call.query["out"])
    print(call.query["err"], file=sys.stderr)
    await pass_gate(call.query["gate"])
    await call.head(204)
    await call.piece(b"", False)


async def hooks(call):
    await call.json(starts)


PATHS = {
    "/hello": hello, "/request": request, "/echo": echo, "/digest": digest, "/upload": digest, "/hold": hold, "/unread": unread, "/bytes": bytes_,
    "/empty": empty, "/status": status, "/repeated": repeated, "/stream": stream, "/gate": gate, "/wait": wait, "/told": told,
    "/error/before": error_before, "/error/after": error_after, "/error/short": error_short, "/env": env, "/descriptors": descriptors,
    "/print": print_, "/hooks": hooks,
}


async def answer(scope, receive, send):
    call = Call(scope, receive, send)
    path = scope["path"]
    handler = request if path.startswith("/request/") else PATHS.get(path)
    if handler is None:
        await call.text("no such path\n", 404)
    else:
        await handler(call)
