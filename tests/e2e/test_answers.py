"""CONTRACT.md section 7: each answer that comes from Skerry, provoked through the whole of it. One shape for all: the status, JSON with code, message and
request id (or a page, where the caller prefers one), and Retry-After where coming again helps."""
import concurrent.futures
import contextlib
import json
import os
import re
import resource
import socket
import ssl
import time

import pytest
from conftest import ROOT, Answer, Skerry

MANIFEST = '[edge_compute]\nfunc_name = "{}"\n'
HELLO = ROOT / "examples" / "hello-python"
COME_AGAIN = (429, 503)
PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def check(answer, status, code):
    """The shape that every one has; the message, for what a case has to say of it."""
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"]) == (status, code), error
    assert answer.headers["content-type"] == "application/json"
    assert set(json.loads(answer.body)) == {"error"} and set(error) == {"code", "message", "request_id"}
    assert error["message"] and "\n" not in error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert ("retry-after" in answer.headers) == (status in COME_AGAIN)
    assert int(answer.headers.get("retry-after", 1)) >= 1
    return error["message"]


def check_page(answer, status, code):
    assert answer.status == status and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.startswith("<!doctype html>") and f"({code})" in answer.text and answer.headers["x-request-id"] in answer.text
    assert ("retry-after" in answer.headers) == (status in COME_AGAIN)


def shipped(skerry, name, source, extra="", file="func.py"):
    result = skerry.ship(None, **{"func.toml": MANIFEST.format(name) + extra, file: source})
    assert result.returncode == 0, (result.stdout, result.stderr)
    return skerry.get(name)


# ---- what never reaches a function

def raw_exchange(skerry, host, text):
    context = ssl.create_default_context(cafile=skerry.ca)
    with socket.create_connection(("127.0.0.1", skerry.https), 30) as plain, context.wrap_socket(plain, server_hostname=host) as s:
        s.sendall(text.encode())
        return read_answer(s)


def read_answer(s):
    received = b""
    try:
        while piece := s.recv(65536):
            received += piece
    except OSError:
        pass  # what is refused early may be reset once the answer was read
    head, _, body = received.partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    return Answer(int(first.split()[1]), {k.lower(): v.strip() for k, v in (f.split(":", 1) for f in fields)}, body)


@pytest.fixture(scope="module")
def host(skerry):
    f = shipped(skerry, "asked", (HELLO / "func.py").read_text())
    return f["url"].split("/")[2].split(":")[0]


@pytest.mark.parametrize("request_text,status,code", [
    ("GET / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nhost: {host}\r\nbad header: x\r\n\r\n", 400, "bad_request"),
    ("POST / HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\nnot a size\r\n", 400, "bad_request"),
    ("nonsense\r\n\r\n", 400, "bad_request"),
    ("GET /" + "x" * (16 * 1024) + " HTTP/1.1\r\nhost: {host}\r\n\r\n", 414, "uri_too_long"),
    ("GET / HTTP/1.1\r\nhost: {host}\r\nx: " + "x" * (64 * 1024) + "\r\n\r\n", 431, "headers_too_large"),
    ("CONNECT {host}:443 HTTP/1.1\r\nhost: {host}\r\n\r\n", 501, "not_implemented"),
    ("POST / HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: gzip, chunked\r\n\r\n", 501, "not_implemented"),
    ("GET / HTTP/1.1\r\nhost: somewhere.example\r\nconnection: close\r\n\r\n", 421, "misdirected"),
    ("GET / HTTP/1.1\r\nhost: nobody-0000000000.skerry.localhost\r\nconnection: close\r\n\r\n", 404, "no_such_function"),
    ("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 10485761\r\n\r\n", 413, "body_too_large"),
    ("GET / HTTP/1.1\r\nhost: {host}\r\n", 408, "request_timeout"),
])
def test_ingress_refuses_by_the_contracts_table(skerry, host, request_text, status, code):
    check(raw_exchange(skerry, host, request_text.replace("{host}", host)), status, code)


def test_a_body_that_breaks_the_framing_costs_the_function_nothing(skerry, host):
    url = f"https://{host}:{skerry.https}/"
    assert skerry.call(url).status == 200
    for _ in range(3):
        check(raw_exchange(skerry, host, f"POST / HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\nnot a size\r\n"), 400, "bad_request")
    assert re.search('desc="(warm|thaw)"', skerry.call(url).headers["server-timing"])


@pytest.mark.parametrize("name,headers,status,code", [("nobody-0000000000.skerry.localhost", {}, 404, "no_such_function"),
                                                      (None, {"content-length": "10485761"}, 413, "body_too_large")])
def test_a_browser_gets_a_page(skerry, host, name, headers, status, code):
    check_page(skerry.call(f"https://{name or host}:{skerry.https}/", headers={**headers, **PAGE}), status, code)


# ---- what goes wrong in a function

FAULTS = '''
import os, time
class F:
    async def handle(self, scope, receive, send):
        path = scope["path"]
        if path == "/raise":
            raise ValueError("as asked")
        if path == "/exit":
            os._exit(3)
        if path == "/memory":
            kept = []
            while True:
                kept.append(bytearray(1 << 20))
        if path == "/slow":
            time.sleep(30)
        headers = [(b"content-length", b"10485761")] if path == "/large" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"fine"})
def new():
    return F()
'''


@pytest.fixture(scope="module")
def faults(skerry):
    return shipped(skerry, "faults", FAULTS, '[runtime]\ntimeout = "2s"\nmemory = "64MB"\n')["url"]


@pytest.mark.parametrize("path,status,code", [("exit", 502, "function_crashed"), ("memory", 502, "out_of_memory"), ("large", 502, "bad_response"), ("slow", 504, "timeout")])
def test_each_fault_has_its_answer_and_the_next_request_is_served(skerry, faults, path, status, code):
    check(skerry.call(faults, path), status, code)
    assert skerry.call(faults).text == "fine"
    check_page(skerry.call(faults, path, headers=PAGE), status, code)


def test_an_uncaught_error_is_the_shims_500(skerry, faults):
    answer = skerry.call(faults, "raise")
    assert (answer.status, json.loads(answer.text)["error"]["code"]) == (500, "function_error")
    assert json.loads(answer.text)["error"]["request_id"] == answer.headers["x-request-id"]
    assert "as asked" not in answer.text  # that is for the log
    assert skerry.call(faults).text == "fine"


GARBAGE = '''
import os, socket
s = socket.create_server(("0.0.0.0", int(os.environ["PORT"])))
while True:
    c, _ = s.accept()
    data = c.recv(65536)
    c.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\nconnection: close\\r\\n\\r\\nok" if b"GET /fine" in data else b"this is no HTTP\\r\\n\\r\\n")
    c.close()
'''
SERVER = '[runtime]\nlanguage = "python"\nentrypoint = ["python3", "server.py"]\n'


def test_an_answer_that_is_no_http_is_a_502_of_that_name(skerry):
    url = shipped(skerry, "garbage", GARBAGE, SERVER + '[health]\npath = "/fine"\n', "server.py")["url"]
    check(skerry.call(url), 502, "bad_response")
    assert skerry.call(url, "fine").text == "ok"


def test_a_start_that_fails_later_than_the_ship_is_a_503_with_a_way_to_its_log(skerry):
    # Good when it was shipped; a moment later its start-up code raises, with words that would be markup on a page.
    late = (HELLO / "func.py").read_text() + "\nimport time\nif time.time() > UNTIL:\n    raise RuntimeError('the <b>lease</b> is over')\n"
    until = time.time() + 5
    f = shipped(skerry, "late", late.replace("UNTIL", str(until)), '[runtime]\nidle_timeout = "1s"\n')
    skerry.wait(lambda: time.time() > until and not [i for i in skerry.instances() if i["function"] == f["id"]], "the instance did not go")
    message = check(skerry.call(f["url"]), 503, "start_failed")
    assert "the <b>lease</b> is over" in message and "skerry logs late" in message
    page = skerry.call(f["url"], headers=PAGE)
    check_page(page, 503, "start_failed")
    assert "<b>lease" not in page.text and "&lt;b&gt;lease" in page.text
    skerry.cli("rm", "late", "--yes")  # a secret that is set later starts every function


# Answers its probe, and from before that answer nothing listens any more.
UNREACHABLE = '''
import os, signal, socket
s = socket.create_server(("0.0.0.0", int(os.environ["PORT"])))
c, _ = s.accept()
c.recv(65536)
s.close()
c.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n\\r\\n")
c.close()
signal.pause()
'''


def test_instances_that_take_no_request_are_given_up_after_three(skerry):
    url = shipped(skerry, "unreachable", UNREACHABLE, SERVER + '[health]\npath = "/ok"\n', "server.py")["url"]
    check(skerry.call(url), 503, "overloaded")


# ---- no place to be had

HOLDS = '''
import asyncio
class F:
    async def handle(self, scope, receive, send):
        if scope["path"] == "/hold":
            await asyncio.sleep(30)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})
def new():
    return F()
'''
QUEUE = 1000  # src/dispatch/dispatcher.h, kMaxQueue


@contextlib.contextmanager
def open_requests(skerry, url, path, count=1):
    """Requests over plain HTTP whose answers nobody waits for; they are given up at the end."""
    host = url.split("/")[2].split(":")[0]
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            s = stack.enter_context(socket.create_connection(("127.0.0.1", skerry.http), 30))
            s.sendall(f"GET /{path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        yield


def wait_until_busy(skerry, function):
    skerry.wait(lambda: any(i["function"] == function["id"] and i["state"] == "busy" for i in skerry.instances()), "the instance is not busy")


def test_a_full_queue_is_a_429_at_the_thousand_and_first(skerry):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * QUEUE), hard))
    f = shipped(skerry, "narrow", HOLDS, '[runtime]\nmax_instances = 1\ntimeout = "60s"\n')
    try:
        with open_requests(skerry, f["url"], "hold"):
            wait_until_busy(skerry, f)
            with open_requests(skerry, f["url"], "queued", QUEUE):
                # The last of them may still be on its way: one that is taken waits, so it is asked with a short patience.
                end = time.monotonic() + 30
                while (answer := impatient(skerry, f["url"])) is None:
                    assert time.monotonic() < end, "the queue never was full"
                assert str(QUEUE) in check(answer, 429, "too_many_requests")
        assert skerry.call(f["url"]).text == "fine"  # all of them went away, and their places with them
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def impatient(skerry, url):
    try:
        return skerry.call(url, timeout=1)
    except TimeoutError:
        return None


def test_who_waits_for_a_function_that_is_removed_hears_draining_and_who_is_served_is_served(skerry):
    f = shipped(skerry, "leaving", HOLDS.replace("30", "2"), "[runtime]\nmax_instances = 1\n")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        held = pool.submit(skerry.call, f["url"], "hold")
        wait_until_busy(skerry, f)
        waiting = pool.submit(skerry.call, f["url"])
        # Nothing outside says that it waits: it is sent before the removal, which takes longer than a loopback connection.
        skerry.cli("rm", "leaving", "--yes")
        check(waiting.result(), 503, "draining")
        assert held.result().text == "fine"
    check(skerry.call(f["url"]), 404, "no_such_function")


class OneContainer(Skerry):
    def start(self):
        if "max_instances" not in self.config.read_text():
            self.config.write_text("max_instances = 1\n" + self.config.read_text())
        super().start()


def test_a_location_without_room_is_a_503_when_the_deadline_is_over():
    if os.geteuid() != 0:
        pytest.skip("makes containers: needs root")
    s = OneContainer()
    try:
        waits = shipped(s, "waits", HOLDS, '[runtime]\ntimeout = "1s"\n')
        holds = shipped(s, "holds", HOLDS, '[runtime]\ntimeout = "60s"\n')  # takes the place of the other, which is idle
        with open_requests(s, holds["url"], "hold"):
            wait_until_busy(s, holds)
            assert "1 containers" in check(s.call(waits["url"]), 503, "no_capacity")
        s.wait(lambda: s.call(waits["url"]).text == "fine", "the place did not become free")
    finally:
        s.close()
