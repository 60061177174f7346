"""What stands still between requests, and what does not: CONTRACT.md, "Between requests"."""
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import struct
import time
import urllib.parse

import pytest
from conftest import ROOT

HELLO = ROOT / "examples" / "hello-python"
WHO = '''
import os
class F:
    async def handle(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": os.environ["SKERRY_INSTANCE"].encode()})
    async def stop(self):
        print("stop ran", flush=True)
def new():
    return F()
'''
# Three jobs in a queue, done one after the other by a thread that sleeps, or computes, for each.
JOBS = '''
import os, queue, threading, time
jobs = queue.Queue()
def work():
    for job in iter(jobs.get, None):
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            %s
        print("did job", job, flush=True)
class F:
    def start(self, cfg):
        threading.Thread(target=work, daemon=True).start()
    async def handle(self, scope, receive, send):
        if scope["path"] == "/queue":
            for job in range(3):
                jobs.put(job)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": os.environ["SKERRY_INSTANCE"].encode()})
def new():
    return F()
'''
SLEEPS, COMPUTES = "time.sleep(end - time.monotonic() + 0.001)", "pass"
# Streams until the caller leaves; /echo is a WebSocket that says every message back.
STREAMS = '''
import asyncio
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": scope["path"] == "/stream"})
        if scope["path"] == "/stream":
            while (await receive())["type"] != "http.disconnect":
                pass
'''
# Closes a connection that was idle for 1.5 s, as Node.js does after its keepAliveTimeout.
CLOSES = '''
const server = require("http").createServer((request, response) => response.end(process.env.SKERRY_INSTANCE));
server.keepAliveTimeout = 1500;
server.listen(process.env.PORT);
'''
PACKAGE = '{"name": "closes", "version": "1.0.0", "main": "server.js", "scripts": {"start": "node server.js"}}'


def ship(skerry, name, extra="", **files):
    result = skerry.ship(None, **{"func.toml": f'[edge_compute]\nfunc_name = "{name}"\n{extra}', **files})
    assert result.returncode == 0, (result.stdout, result.stderr)
    return skerry.get(name)


def states(skerry, f):
    time.sleep(0.2)  # the API answers 1,000 times a minute
    return {i["id"]: i["state"] for i in skerry.instances() if i["function"] == f["id"]}


def stands_still(skerry, instance):
    """The kernel's word: what control knows is up to a second old."""
    try:
        pid = (skerry.run / "instances" / f"{instance}.state").read_text().split()[2]
        groups = dict(line.split(":", 2)[1:] for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines())
        if "freezer" in groups:
            return pathlib.Path(f"/sys/fs/cgroup/freezer{groups['freezer']}/freezer.state").read_text() == "FROZEN\n"
        return "frozen 1\n" in pathlib.Path(f"/sys/fs/cgroup{groups['']}/cgroup.events").read_text()
    except OSError:
        return False


def wait_frozen(skerry, f):
    frozen = lambda: (known := states(skerry, f)) and all(state == "frozen" and stands_still(skerry, id_) for id_, state in known.items())
    skerry.wait(frozen, f"{f['name']} is not frozen")


def mode(answer):
    assert answer.status == 200, answer.text
    return re.match(r'start;desc="(\w+)"', answer.headers["server-timing"])[1]


def said(skerry, name, words):
    time.sleep(0.2)
    return [l for l in (json.loads(line) for line in skerry.cli("logs", name, "--json").stdout.splitlines()) if words in l["line"]]


@pytest.fixture(scope="module")
def who(skerry):
    return ship(skerry, "who", **{"func.py": WHO})


def test_an_idle_instance_freezes_and_answers_the_next_request(skerry, who):
    first = skerry.call(who["url"])
    wait_frozen(skerry, who)
    assert skerry.get("who")["instances"] == {"idle": 0, "busy": 0, "starting": 0, "frozen": 1}
    assert "1 frozen" in skerry.cli("get", "who").stdout and re.search(r"frozen", skerry.cli("status").stdout)
    next_ = skerry.call(who["url"])
    assert mode(next_) == "thaw" and next_.text == first.text
    assert mode(skerry.call(who["url"])) == "warm"


def test_a_thaw_needs_no_sandboxd(skerry, who):
    first = skerry.call(who["url"])
    wait_frozen(skerry, who)
    roles = [skerry.processes()[role] for role in ("starter", "filler", "reaper")]
    for pid in roles:
        os.kill(pid, signal.SIGSTOP)
    try:
        answer = skerry.call(who["url"])
        assert mode(answer) == "thaw" and answer.text == first.text
    finally:
        for pid in roles:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("name,work,background,finishes", [("jobs-background", SLEEPS, "true", True), ("jobs-computed", COMPUTES, "false", True), ("jobs-asleep", SLEEPS, "false", False)])
def test_a_job_queue_finishes_where_it_may_go_on(skerry, name, work, background, finishes):
    f = ship(skerry, name, f"[runtime]\nbackground = {background}\n", **{"func.py": JOBS % work})
    first = skerry.call(f["url"], "queue")
    assert first.status == 200
    if finishes:
        skerry.wait(lambda: len(said(skerry, name, "did job")) == 3, "the jobs were not done without another request")
    else:
        wait_frozen(skerry, f)
        assert len(said(skerry, name, "did job")) < 3
        assert mode(skerry.call(f["url"])) == "thaw"
    if background == "true":
        # A function that was used later stands still already; this one does not.
        other = ship(skerry, "who-else", **{"func.py": WHO})
        assert skerry.call(other["url"]).status == 200
        wait_frozen(skerry, other)
        assert set(states(skerry, f).values()) == {"idle"}
        assert mode(skerry.call(f["url"])) == "warm"


def test_a_stream_and_a_websocket_keep_it_awake(skerry, who):
    f = ship(skerry, "streams", "[runtime]\nconcurrency = 1\n", **{"main.py": STREAMS})
    parts = urllib.parse.urlsplit(f["url"])
    context = ssl.create_default_context(cafile=skerry.ca)
    connect = lambda: context.wrap_socket(socket.create_connection(("127.0.0.1", parts.port), 30), server_hostname=parts.hostname)
    host = f"host: {parts.netloc}\r\n"
    with connect() as stream, connect() as ws:
        stream.sendall(f"GET /stream HTTP/1.1\r\n{host}\r\n".encode())
        got = b""
        while b"first" not in got:
            got += stream.recv(65536)
        ws.sendall(f"GET /echo HTTP/1.1\r\n{host}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {'A' * 22}==\r\n\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += ws.recv(65536)
        assert got.startswith(b"HTTP/1.1 101")
        # Quiet for as long as it takes another to freeze, twice over.
        for _ in range(2):
            assert skerry.call(who["url"]).status == 200
            skerry.wait(lambda: set(states(skerry, who).values()) != {"frozen"}, "its request was not seen")
            wait_frozen(skerry, who)
            assert list(states(skerry, f).values()).count("busy") == 2
        ws.sendall(struct.pack("!BB", 0x81, 0x80 | 5) + bytes(4) + b"still")
        assert ws.recv(65536) == b"\x81\x05still"
    wait_frozen(skerry, f)
    assert mode(skerry.call(f["url"])) == "thaw"


def test_a_server_that_closes_idle_connections_loses_no_request(skerry):
    f = ship(skerry, "closes", **{"server.js": CLOSES, "package.json": PACKAGE})
    for _ in range(2):
        first = skerry.call(f["url"])
        idle_since = time.monotonic()
        assert first.status == 200
        wait_frozen(skerry, f)
        while time.monotonic() < idle_since + 2:  # its timer is due then, and has no other sign: it stands still
            time.sleep(0.05)
        answer = skerry.call(f["url"])
        assert mode(answer) == "thaw" and answer.text == first.text


def test_the_next_edge_takes_frozen_instances_over(skerry, who):
    first = skerry.call(who["url"])
    wait_frozen(skerry, who)
    old = skerry.processes()["edge"]
    os.kill(old, signal.SIGKILL)
    skerry.wait(lambda: skerry.processes().get("edge") not in (None, old, -1), "no other edge")
    skerry.wait(skerry.healthy, "edge did not come back")
    skerry.wait(lambda: first.text in states(skerry, who), "the instance was not adopted")
    answer = skerry.call(who["url"])
    assert answer.text == first.text and mode(answer) in ("warm", "thaw")
    wait_frozen(skerry, who)
    assert skerry.call(who["url"]).text == first.text


def test_starter_killed_while_they_are_frozen_costs_nothing(skerry, who):
    first = skerry.call(who["url"])
    wait_frozen(skerry, who)
    old = skerry.processes()["starter"]
    os.kill(old, signal.SIGKILL)
    answer = skerry.call(who["url"])
    assert mode(answer) == "thaw" and answer.text == first.text
    skerry.wait(lambda: skerry.processes().get("starter") not in (None, old, -1), "no other starter")
    wait_frozen(skerry, who)
    assert skerry.call(who["url"]).text == first.text


def test_a_frozen_instance_stops_in_order_when_its_time_is_over(skerry):
    f = ship(skerry, "expires", '[runtime]\nidle_timeout = "3s"\n', **{"func.py": WHO})
    assert skerry.call(f["url"]).status == 200
    wait_frozen(skerry, f)
    skerry.wait(lambda: not states(skerry, f), "it did not go")
    assert said(skerry, "expires", "stop ran")
    answer = skerry.call(f["url"])
    assert mode(answer) in ("boot", "prestart")


def test_a_rollback_thaws_what_it_goes_back_to_and_rm_ends_all_of_it(skerry):
    f = ship(skerry, "twice", **{"func.py": WHO})
    first = skerry.call(f["url"]).text
    wait_frozen(skerry, f)
    f = ship(skerry, "twice", **{"func.py": WHO + "# other\n"})
    second = skerry.call(f["url"]).text
    assert second != first
    wait_frozen(skerry, f)
    skerry.cli("rollback", "twice", "1")
    answer = skerry.call(f["url"])
    assert mode(answer) == "thaw" and answer.text == first  # a revision stays in reach by its own host
    wait_frozen(skerry, f)
    skerry.cli("rm", "twice", "--yes")
    skerry.wait(lambda: not states(skerry, f), "the instances of a function that is gone stay")


def test_secrets_are_kept_out_of_the_log_after_a_thaw_too(skerry):
    source = WHO.replace('        await send({"type": "http.response.start"', '        print("word:", os.environ["FROZEN_WORD"], scope["path"], flush=True)\n        await send({"type": "http.response.start"', 1)
    skerry.cli("secrets", "set", "FROZEN_WORD", input="whispered-word")
    f = ship(skerry, "whisper", '[[secrets]]\nbinding = "FROZEN_WORD"\nname = "FROZEN_WORD"\n', **{"func.py": source})
    assert skerry.call(f["url"], "one").status == 200
    wait_frozen(skerry, f)
    assert len(said(skerry, "whisper", "word:")) == 1  # asked while it stands still
    assert mode(skerry.call(f["url"], "two", headers={"x-request-id": "after-the-thaw"})) == "thaw"
    skerry.wait(lambda: len(said(skerry, "whisper", "word:")) == 2, "its output does not come")
    last = said(skerry, "whisper", "/two")[0]
    assert last["line"] == "word: [secret FROZEN_WORD] /two" and last["request_id"] == "after-the-thaw"


def test_one_that_was_killed_while_it_was_frozen_costs_at_most_one_answer(skerry, who):
    first = skerry.call(who["url"])
    wait_frozen(skerry, who)
    pid = int((skerry.run / "instances" / f"{first.text}.state").read_text().split()[2])
    os.kill(pid, signal.SIGKILL)
    skerry.call(who["url"])
    answer = skerry.call(who["url"])
    assert answer.status == 200 and answer.text != first.text
    skerry.wait(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "it did not end")
