"""starter killed while requests wait for it: they wait for the next one. No function has seen a byte of them, so nobody but their deadline may end them."""
import concurrent.futures
import json
import os
import pathlib
import signal

import pytest

# Holds its instance for as long as it takes edge to say what it starts.
HANDLER = '''
import asyncio, os
class F:
    async def handle(self, scope, receive, send):
        await asyncio.sleep(1.2)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": (os.environ["SKERRY_INSTANCE"] + " " + os.environ.get("BURST_WORD", "-")).encode()})
def new():
    return F()
'''
SERVER = '''
import http.server, os, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(1.2)
        body = (os.environ["SKERRY_INSTANCE"] + " -").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), H).serve_forever()
'''
EACH = 4


@pytest.fixture(scope="module")
def functions(skerry):
    """From a spare, booted with a secret, and an own server."""
    made = {"burst-spare": ({"func.py": HANDLER}, "[runtime]\nbackground = true\n"),  # never frozen: it can be killed at any time
            "burst-secret": ({"func.py": HANDLER}, '[[secrets]]\nbinding = "BURST_WORD"\nname = "BURST_WORD"\n'),
            "burst-server": ({"server.py": SERVER}, '[runtime]\nlanguage = "python"\nentrypoint = ["python3", "server.py"]\n[health]\npath = ""\n')}
    skerry.cli("secrets", "set", "BURST_WORD", input="whispered")
    urls = {}
    for name, (files, extra) in made.items():
        result = skerry.ship(None, **{"func.toml": f'[edge_compute]\nfunc_name = "{name}"\n{extra}', **files})
        assert result.returncode == 0, (result.stdout, result.stderr)
        urls[name] = skerry.get(name)["url"]
    return urls


def kill_starter(skerry):
    old = skerry.processes()["starter"]
    os.kill(old, signal.SIGKILL)
    skerry.wait(lambda: skerry.processes()["starter"] not in (old, -1), "starter was not started again")


def test_a_cold_burst_outlives_starter(skerry, functions):
    states = lambda: {p.name for p in (skerry.run / "instances").iterdir() if p.name.endswith(".state")}
    starting = lambda: [i for i in skerry.instances() if i["state"] == "starting"]
    # Stopped, it is certain to have read nothing of the burst when it is killed.
    os.kill(skerry.processes()["starter"], signal.SIGSTOP)
    before = states()
    with concurrent.futures.ThreadPoolExecutor(EACH * len(functions)) as pool:
        asked = [(name, pool.submit(skerry.call, functions[name])) for _ in range(EACH) for name in functions]
        skerry.wait(lambda: len(starting()) >= (EACH - 1) * len(functions), "no cold burst")
        kill_starter(skerry)
        # The next one is killed with containers half made: one exists, the others do not.
        skerry.wait(lambda: states() - before, "the next starter made no container")
        kill_starter(skerry)
        answers = [(name, a.result()) for name, a in asked]
    assert [(name, a.status, a.text) for name, a in answers if a.status != 200] == []
    assert {a.text.split()[1] for name, a in answers if name == "burst-secret"} == {"whispered"}
    for name in functions:
        assert "start failed" not in skerry.cli("logs", name).stdout


def test_an_instance_that_ends_while_no_starter_is_there_is_missed(skerry, functions):
    f = skerry.get("burst-spare")
    mine = lambda *states: {i["id"] for i in skerry.instances() if i["function"] == f["id"] and i["state"] in states}
    assert skerry.call(f["url"]).status == 200
    skerry.wait(lambda: mine("idle"), "no instance")
    victim = max(mine("idle"))
    pid = int((skerry.run / "instances" / f"{victim}.state").read_text().split()[2])
    starter = skerry.processes()["starter"]
    skerry.process.send_signal(signal.SIGSTOP)  # nobody starts the next starter yet
    try:
        os.kill(starter, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        skerry.wait(lambda: not alive(pid), "the container did not end")
    finally:
        skerry.process.send_signal(signal.SIGCONT)
    skerry.wait(lambda: victim not in mine("idle", "busy", "stopping"), "the instance that ended is still counted")
    assert skerry.call(f["url"]).status == 200
    assert any(json.loads(line)["line"] == "the process ended" for line in skerry.cli("logs", "burst-spare", "--json").stdout.splitlines())


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
