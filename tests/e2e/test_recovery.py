"""What a full disk, and a kill in the wrong moment, must not cost: anything that was acknowledged, and a clear word about the rest."""
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import sqlite3
import ssl
import subprocess
import time

import pytest
from conftest import ROOT, Skerry

HELLO = ROOT / "examples" / "hello-python"
DISK_MB = 300  # Python's image, and room for a few functions
MANIFEST = '[edge_compute]\nfunc_name = "{}"\n'

# Prints a line a request, says which revision it is, and takes its time at /slow until the test lets it go on.
TALKS = '''
import asyncio, os
class F:
    async def handle(self, scope, receive, send):
        print("line of " + scope["path"], flush=True)
        if scope["path"] == "/slow":
            await asyncio.sleep(1.5)
            print("end of /slow", flush=True)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": ("VERSION " + os.environ.get("WORD", "no word")).encode()})
def new():
    return F()
'''


# ---- a full disk

class SmallDisk(Skerry):
    """A Skerry whose state is on a disk of its own."""

    def start(self):
        if not self.state.exists():
            image = self.folder / "disk"
            with open(image, "wb") as f:
                f.truncate(DISK_MB << 20)
            subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, timeout=60)
            self.state.mkdir()
            mounted = subprocess.run(["mount", "-o", "loop", image, self.state], capture_output=True, text=True, timeout=60)
            if mounted.returncode != 0:
                self.state.rmdir()
                pytest.skip(f"no loop device here: {mounted.stderr.strip()}")
        super().start()

    def fill(self, spare_bytes=0):
        with open(self.state / "ballast", "wb", buffering=0) as f:
            size = 1 << 20
            while size:
                try:
                    f.write(bytes(size))
                except OSError:
                    size //= 2
            f.truncate(max(0, f.tell() - spare_bytes))
            os.fsync(f.fileno())

    def make_room(self):
        (self.state / "ballast").unlink()

    def close(self):
        self.stop()
        self.sweep()
        subprocess.run(["umount", "-l", self.state], capture_output=True, timeout=60)
        super().close()


@pytest.fixture(scope="module")
def small():
    if os.geteuid() != 0:
        pytest.skip("mounts a disk: needs root")
    s = None
    try:
        s = SmallDisk.__new__(SmallDisk)
        s.__init__()
        yield s
    finally:
        if s is not None and getattr(s, "process", None) is not None:
            s.close()


def requests_of(skerry, name):
    usage = json.loads(skerry.cli("usage", "--json").stdout)
    return usage, sum(f["requests"] for f in usage["functions"] if f["function"] == name)


def test_a_full_disk(small):
    """One story, told in order: what works before, what goes on and what is refused while the disk is full, and that all is well after."""
    version = lambda n: {"func.py": TALKS.replace("VERSION", f"v{n}")}
    assert small.ship(None, **{"func.toml": MANIFEST.format("warm"), **version(1)}).returncode == 0
    sleeps = MANIFEST.format("zero") + '[runtime]\nidle_timeout = "1s"\n'
    for n in (1, 2):
        assert small.ship(None, **{"func.toml": sleeps, **version(n)}).returncode == 0
    small.cli("secrets", "set", "WORD", input="first")
    warm, zero = small.get("warm"), small.get("zero")
    counts = collections.Counter()

    def call(f):
        answer = small.call(f["url"], timeout=20)
        assert answer.status == 200, (answer.text, small.log())
        counts[f["name"]] += 1
        return answer

    assert call(warm).text == "v1 first" and call(zero).text == "v2 first"
    small.wait(lambda: not [i for i in small.instances() if i["function"] == zero["id"]], "the instance did not go")
    small.fill()

    # What is deployed goes on: warm, and from nothing.
    assert [call(warm).text for _ in range(50)] == ["v1 first"] * 50
    answer = call(zero)
    assert answer.text == "v2 first" and not re.search('desc="(warm|thaw)"', answer.headers["server-timing"])

    # What needs room is refused in words that name the disk and what to do; nothing of it stays half done.
    ships = [small.ship(None, **{"func.toml": MANIFEST.format("warm"), **version(7), "more": os.urandom(1 << 20).hex()})]
    refused = [*ships, small.cli("secrets", "set", "WORD", input="second", check=False), small.cli("rollback", "zero", "1", check=False),
               small.cli("rm", "warm", "--yes", check=False)]
    for result in refused:
        assert result.returncode == 7, (result.stdout, result.stderr)
        assert str(small.state) in result.stderr and "make room" in result.stderr, result.stderr
    token = small.api_call("POST", "/v1/tokens", '{"name":"x"}', raw=True)
    assert token.status == 507 and json.loads(token.text)["error"]["code"] == "no_space"
    assert len(json.loads(small.cli("ls", "--json").stdout)["functions"]) == 2
    usage, _ = requests_of(small, "warm")
    assert str(small.state) in usage["incomplete"]  # sums that are not whole say so

    # Each process comes back on the full disk, and what it does goes on.
    for name in ("edge", "control", "keeper", "starter", "filler", "reaper"):
        old = small.processes()[name]
        os.kill(old, signal.SIGKILL)
        small.wait(lambda: small.processes().get(name, old) not in (old, -1), f"{name} was not started again")
        small.wait(small.healthy, f"not healthy after {name} was killed on a full disk")
        assert call(warm).text == "v1 first" and call(zero).text == "v2 first"

    # And all of them together, as `make down` and `make up` do.
    small.stop()
    assert small.sweep().returncode == 0
    small.start()
    assert call(warm).text == "v1 first" and call(zero).text == "v2 first"

    small.make_room()
    # Without a restart: everything works, every request is counted, and nothing is damaged.
    assert call(warm).text == "v1 first"
    small.cli("secrets", "set", "WORD", input="second")
    assert call(warm).text == "v1 second" and call(zero).text == "v2 second"
    assert small.ship(None, **{"func.toml": MANIFEST.format("warm"), **version(3)}).returncode == 0
    assert call(warm).text == "v3 second"
    small.cli("rollback", "zero", "1")
    assert call(zero).text == "v1 no word"  # as it was then: before the secret
    for name, count in counts.items():
        usage, counted = requests_of(small, name)
        assert counted == count and "incomplete" not in usage, (name, usage)
    for line in small.cli("logs", "warm", "--json").stdout.splitlines():
        assert json.loads(line)["line"].startswith("line of "), line
    with sqlite3.connect(small.state / "control" / "control.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    left = [p for folder in ("layers", "control/blobs") for p in (small.state / folder).iterdir() if p.name.startswith(".tmp-")]
    assert not left


def test_a_disk_that_fills_while_a_layer_is_made(small):
    """The upload fits, what is unpacked from it does not."""
    assert small.ship(None, **{"func.toml": MANIFEST.format("layered"), "func.py": TALKS}).returncode == 0
    small.fill(spare_bytes=6 << 20)
    try:
        result = small.ship(None, **{"func.toml": MANIFEST.format("layered"), "func.py": TALKS, "zeros": "0" * (40 << 20)})
        assert result.returncode == 7 and str(small.state) in result.stderr and "make room" in result.stderr, (result.stdout, result.stderr)
        assert not [p for p in (small.state / "layers").iterdir() if p.name.startswith(".tmp-")]
    finally:
        small.make_room()
    assert small.call(small.get("layered")["url"]).status == 200
    assert small.ship(None, **{"func.toml": MANIFEST.format("layered"), "func.py": TALKS, "zeros": "0" * (40 << 20)}).returncode == 0


# ---- kills

def processes_with(word):
    """Host pids of processes with this word in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if word.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(int(pid))
        except OSError:
            pass
    return found


def parent_of(pid):
    """0 when it is gone."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def start_again(skerry, name, old):
    skerry.wait(lambda: skerry.processes().get(name, old) not in (old, -1), f"{name} was not started again")
    skerry.wait(skerry.healthy, f"not healthy after {name} was killed")


@pytest.fixture(scope="module")
def talks(skerry):
    result = skerry.ship(None, **{"func.toml": MANIFEST.format("talks"), "func.py": TALKS})
    assert result.returncode == 0, (result.stdout, result.stderr)
    return skerry.get("talks")


def begin_slow(skerry, pool, f):
    """A request that the function certainly has, and its future."""
    request_id = "r" + os.urandom(8).hex()
    running = pool.submit(skerry.call, f["url"], "slow", headers={"x-request-id": request_id})
    skerry.wait(lambda: "line of" in skerry.cli("logs", f["name"], "--request-id", request_id).stdout, "the request did not begin")
    return running


@pytest.mark.parametrize("name", ["control", "keeper", "starter", "filler", "reaper"])
def test_a_request_in_progress_is_answered_when_another_process_dies(skerry, talks, name):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = begin_slow(skerry, pool, talks)
        old = skerry.processes()[name]
        os.kill(old, signal.SIGKILL)
        answer = running.result()
    assert answer.status == 200 and answer.text == "VERSION no word", answer.text
    start_again(skerry, name, old)
    assert skerry.call(talks["url"]).status == 200


def test_a_function_with_secrets_survives_keeper(skerry):
    """Its output goes through keeper: a line that cannot be written must not become an error of its requests."""
    assert skerry.ship(None, **{"func.toml": MANIFEST.format("secretive-talker"), "func.py": TALKS}).returncode == 0
    skerry.cli("secrets", "set", "WORD", "--only", "secretive-talker", input="kept")
    f = skerry.get("secretive-talker")
    assert skerry.call(f["url"]).text == "VERSION kept"
    old = skerry.processes()["keeper"]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = begin_slow(skerry, pool, f)
        os.kill(old, signal.SIGKILL)
        # It prints while nobody reads what it prints; so do those that come before another instance takes its place.
        during = [skerry.call(f["url"], "during") for _ in range(20)]
        assert running.result().text == "VERSION kept"
    assert {(a.status, a.text) for a in during} == {(200, "VERSION kept")}
    start_again(skerry, "keeper", old)
    skerry.wait(lambda: "another instance takes its place" in skerry.cli("logs", f["name"]).stdout, "the instance was not replaced")
    answers = [skerry.call(f["url"], "after", headers={"x-request-id": f"after-{n}"}) for n in range(5)]
    assert [a.text for a in answers] == ["VERSION kept"] * 5
    assert "line of /after" in skerry.cli("logs", f["name"], "--request-id", "after-4").stdout


def test_edge_dies_with_its_connections_and_keeps_its_records(skerry, talks):
    for _ in range(5):
        assert skerry.call(talks["url"]).status == 200
    _, before = requests_of(skerry, "talks")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = begin_slow(skerry, pool, talks)
        old = skerry.processes()["edge"]
        os.kill(old, signal.SIGKILL)
        with pytest.raises((OSError, ssl.SSLError, IndexError, ValueError)):  # no answer, and not half of one taken for a whole
            running.result()
    start_again(skerry, "edge", old)
    assert skerry.call(talks["url"]).text == "VERSION no word"
    _, after = requests_of(skerry, "talks")
    assert after == before + 1


def test_skerryd_takes_its_processes_along_and_a_new_one_takes_over():
    if os.geteuid() != 0:
        pytest.skip("starts skerryd: needs root")
    s = Skerry()
    try:
        kept = {"func.toml": MANIFEST.format("kept"), "func.py": TALKS}
        assert s.ship(None, **kept).returncode == 0
        url = s.get("kept")["url"]
        assert s.call(url).status == 200
        children = s.processes().values()
        seconds = f"8{os.getpid()}.25"
        slow = {**kept, "func.toml": kept["func.toml"] + f'[build]\ncommand = "sleep {seconds}"\n'}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            shipping = pool.submit(s.ship, None, **slow)
            s.wait(lambda: processes_with(seconds), "the build did not begin", timeout=60)
            s.process.kill()
            s.process.wait()
            result = shipping.result()
        assert result.returncode == 5 and json.loads(result.stderr.splitlines()[-1])["error"]["message"], (result.returncode, result.stderr)
        s.wait(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in children), "a process outlived skerryd")
        s.start()
        assert s.call(url).text == "VERSION no word"
        assert requests_of(s, "kept")[1] == 2
        states = [r["state"] for r in json.loads(s.cli("revisions", "kept", "--json").stdout)["revisions"]]
        assert states == ["failed", "ready"]
        s.wait(lambda: not processes_with(seconds), "the build that nobody waits for went on")
        assert s.ship(None, **kept).returncode == 0
        s.stop()
        s.sweep()
        s.wait(lambda: not s.leftovers(), f"left: {s.leftovers()}")
    finally:
        s.close()


def test_a_build_whose_container_is_killed_says_so_and_ships_again(skerry):
    example = ROOT / "examples" / "hello-node"
    manifest = (example / "func.toml").read_text().replace("hello-node", "killedbuild")
    seconds = f"7{os.getpid()}.25"  # a word that no other process has
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        shipping = pool.submit(skerry.ship, example, **{"func.toml": manifest + f'[build]\ncommand = "exec sleep {seconds}"\n'})
        skerry.wait(lambda: processes_with(seconds), "the build did not begin")
        init = processes_with(seconds)[0]
        # init of the container is the last one before the platform's own processes.
        platform = {skerry.process.pid, *skerry.processes().values()}
        while (parent := parent_of(init)) not in platform:
            assert parent, "the build's container ended by itself"
            init = parent
        os.kill(init, signal.SIGKILL)
        result = shipping.result()
    assert result.returncode == 6 and "signal 9" in result.stderr, (result.stdout, result.stderr)
    assert skerry.ship(example, **{"func.toml": manifest}).returncode == 0


def test_an_unpacker_that_is_killed_says_so_and_the_same_bytes_ship_again(skerry):
    # Enough to be unpacked for some hundred milliseconds.
    files = {"func.toml": MANIFEST.format("killedunpack"), "func.py": TALKS, "zeros": "0" * (120 << 20)}
    filler = skerry.processes()["filler"]
    helpers = lambda: [pid for pid in processes_with("skerry-unpack") if parent_of(pid) == filler]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        shipping = pool.submit(skerry.ship, None, **files)
        while not (unpacking := helpers()) and not shipping.done():
            time.sleep(0.001)
        for pid in unpacking:
            os.kill(pid, signal.SIGKILL)
        result = shipping.result()
    assert result.returncode != 0 and "unpack" in result.stderr, (result.stdout, result.stderr)
    assert not [p for p in (skerry.state / "layers").iterdir() if p.name.startswith(".tmp-")]
    assert skerry.ship(None, **files).returncode == 0
    assert skerry.call(skerry.get("killedunpack")["url"]).status == 200
