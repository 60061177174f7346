"""CONTRACT.md section 8, from the outside of a running function: at the limit, and one past it. Limits of packages are in test_bad_input.py, of the API in
tests/control, of variables and secrets in src/gateway/*_test.cc and tests/control."""
import json
import socket

import pytest

MANIFEST = '[edge_compute]\nfunc_name = "limited"\n[runtime]\nmemory = "256MB"\n'
LIMITED = '''
import errno, json, os, resource, threading
KNOWN = 10 << 20

def descriptors():
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        why = error.errno
    highest = max(held) + 1
    for fd in held:
        os.close(fd)
    return {"descriptors": highest, "errno": errno.errorcode[why]}

def threads():
    stop = threading.Event()
    threading.stack_size(65536)
    held = []
    why = ""
    try:
        while len(held) < 5000:
            t = threading.Thread(target=stop.wait)
            t.start()
            held.append(t)
    except RuntimeError as error:
        why = str(error)
    stop.set()
    for t in held:
        t.join()
    with open("/proc/self/status") as f:
        own = [l for l in f if l.startswith("Threads")][0]
    return {"threads": len(held), "why": why, "own": own}

def scratch():
    size = 0
    why = ""
    try:
        with open("/tmp/filled", "wb", buffering=0) as f:
            while True:
                size += f.write(bytes(1 << 20))
    except OSError as error:
        why = errno.errorcode[error.errno]
    os.unlink("/tmp/filled")
    return {"scratch": size, "errno": why}

class F:
    async def handle(self, scope, receive, send):
        path = scope["path"].strip("/")
        headers = []
        if path.startswith("stream"):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            piece = b"x" * (1 << 20)
            for _ in range(1024):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            return await send({"type": "http.response.body", "body": b"x" * int(path[6:])})
        if path.startswith("known"):
            body = b"x" * (KNOWN + int(path[5:]))
            headers = [(b"content-length", str(len(body)).encode())]
        elif path == "host":
            body = open("/etc/resolv.conf").read().encode()
        else:
            body = json.dumps({"descriptors": descriptors, "threads": threads, "scratch": scratch}[path]()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
def new():
    return F()
'''


@pytest.fixture(scope="module")
def url(skerry):
    result = skerry.ship(None, **{"func.toml": MANIFEST, "func.py": LIMITED})
    assert result.returncode == 0, (result.stdout, result.stderr)
    return skerry.get("limited")["url"]


def test_an_answer_of_known_length(skerry, url):
    whole = skerry.call(url, "known0")
    assert whole.status == 200 and len(whole.body) == 10 << 20
    more = skerry.call(url, "known1")
    assert more.status == 502 and json.loads(more.text)["error"]["code"] == "bad_response" and "10 MB" in more.text


def streamed(skerry, url, path):
    """Bytes of the body, over plain HTTP: a gigabyte through Python's TLS takes long."""
    host = url.split("/")[2].split(":")[0]
    with socket.create_connection(("127.0.0.1", skerry.http), 60) as s:
        s.sendall(f"GET /{path} HTTP/1.0\r\nhost: {host}\r\n\r\n".encode())
        file = s.makefile("rb", 1 << 20)
        while (line := file.readline()) not in (b"\r\n", b""):
            pass
        size = 0
        while piece := file.read(1 << 20):
            size += len(piece)
    return size


def test_a_streamed_answer(skerry, url):
    assert streamed(skerry, url, "stream0") == 1 << 30
    assert streamed(skerry, url, "stream1") <= 1 << 30


def test_open_files(skerry, url):
    assert json.loads(skerry.call(url, "descriptors").text) == {"descriptors": 4096, "errno": "EMFILE"}


def test_processes_and_threads(skerry, url):
    seen = json.loads(skerry.call(url, "threads").text)
    # init and the shim's own are among the 1,024.
    assert 1000 <= seen["threads"] < 1024 and seen["why"], seen


def test_what_is_written_is_half_the_memory(skerry, url):
    seen = json.loads(skerry.call(url, "scratch").text)
    assert seen["errno"] == "ENOSPC" and 120 << 20 <= seen["scratch"] <= 128 << 20, seen
    assert skerry.call(url, "host").status == 200  # and the instance lives on


def test_with_scratch_what_is_written_is_a_disk_of_that_size(skerry):
    """More than the memory has room for; a size past the operator's cap is refused by name."""
    files = {"func.toml": MANIFEST.replace("limited", "roomy").replace("256MB", "64MB") + 'scratch = "160MB"\n', "func.py": LIMITED}
    shipped = skerry.ship(None, **files)
    assert shipped.returncode == 0 and "not served" not in shipped.stdout + shipped.stderr, (shipped.stdout, shipped.stderr)
    assert skerry.get("roomy")["config"]["scratch_mb"] == 160
    url = skerry.get("roomy")["url"]
    seen = json.loads(skerry.call(url, "scratch").text)
    assert seen["errno"] == "ENOSPC" and 150 << 20 <= seen["scratch"] <= 160 << 20, seen
    assert skerry.call(url, "host").status == 200
    refused = skerry.ship(None, **{**files, "func.toml": files["func.toml"].replace("160MB", "4097MB")})
    assert refused.returncode != 0 and "scratch_mb" in refused.stdout + refused.stderr, (refused.stdout, refused.stderr)
