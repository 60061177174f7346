"""Processes that are killed, daemons that stop and come back, and what must be left: everything acknowledged, and nothing else."""
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import threading

import pytest
from conftest import BIN, ROOT, Skerry

HELLO = ROOT / "examples" / "hello-python"


def wait_for_new_pid(skerry, name, old):
    skerry.wait(lambda: skerry.processes().get(name, old) not in (old, -1), f"{name} was not started again")


@pytest.mark.parametrize("name", ["edge", "control", "keeper", "starter", "filler", "reaper"])
def test_each_process_may_be_killed(skerry, name):
    assert skerry.ship(HELLO).returncode == 0
    url = skerry.get("hello-python")["url"]
    before = skerry.call(url)
    assert before.status == 200
    old = skerry.processes()[name]
    os.kill(old, signal.SIGKILL)
    wait_for_new_pid(skerry, name, old)
    skerry.wait(skerry.healthy, f"not healthy after {name} was killed")
    after = skerry.call(url)
    assert after.status == 200 and after.text == before.text
    # What needs the process works again too: a start, a build, the API.
    assert skerry.ship(HELLO).returncode == 0
    assert skerry.call(url).status == 200


def test_control_learns_again_what_runs_when_it_comes_back(skerry):
    assert skerry.ship(HELLO).returncode == 0
    f = skerry.get("hello-python")
    assert skerry.call(f["url"]).status == 200
    mine = lambda: [i for i in skerry.instances() if i["function"] == f["id"]]
    skerry.wait(mine, "no instance")
    old = skerry.processes()["control"]
    os.kill(old, signal.SIGKILL)
    wait_for_new_pid(skerry, "control", old)
    skerry.wait(skerry.healthy, "control did not come back")
    skerry.wait(mine, "edge did not say again what runs")  # nothing changed meanwhile


def test_control_is_not_needed_to_serve(skerry):
    assert skerry.ship(HELLO).returncode == 0
    url = skerry.get("hello-python")["url"]
    old = skerry.processes()["control"]
    os.kill(old, signal.SIGSTOP)
    try:
        assert skerry.call(url).status == 200
    finally:
        os.kill(old, signal.SIGCONT)


def test_edge_adopts_the_instances_that_live(skerry):
    assert skerry.ship(HELLO).returncode == 0
    f = skerry.get("hello-python")
    assert skerry.call(f["url"]).status == 200
    mine = lambda: {i["id"] for i in skerry.instances() if i["function"] == f["id"]}
    skerry.wait(lambda: mine(), "no instance")
    before = mine()
    old = skerry.processes()["edge"]
    os.kill(old, signal.SIGKILL)
    wait_for_new_pid(skerry, "edge", old)
    skerry.wait(skerry.healthy, "edge did not come back")
    skerry.wait(lambda: before & mine(), "the instance was not adopted")
    assert re.search('desc="(warm|thaw)"', skerry.call(f["url"]).headers["server-timing"])


def test_requests_go_on_while_sandboxd_is_killed(skerry):
    assert skerry.ship(HELLO).returncode == 0
    url = skerry.get("hello-python")["url"]
    stop = threading.Event()
    bad = []

    def load():
        while not stop.is_set():
            answer = skerry.call(url)
            if answer.status != 200:
                bad.append((answer.status, answer.text))

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(load)
        for name in ("reaper", "filler", "starter"):
            old = skerry.processes()[name]
            os.kill(old, signal.SIGKILL)
            wait_for_new_pid(skerry, name, old)
        stop.set()
        running.result()
    assert not bad, bad[:3]


def test_down_and_up_and_a_kill_of_everything_bring_every_function_back():
    s = Skerry()
    try:
        assert s.ship(HELLO).returncode == 0
        url = s.get("hello-python")["url"]
        s.stop()
        assert s.sweep().returncode == 0
        s.wait(lambda: not s.leftovers(), f"left after down: {s.leftovers()}")
        s.start()
        assert s.call(url).status == 200
        for pid in [s.process.pid, *s.processes().values()]:
            os.kill(pid, signal.SIGKILL)
        s.process.wait()
        s.start()
        assert s.call(url).status == 200
        s.stop()
        s.sweep()
        s.wait(lambda: not s.leftovers(), f"left after down: {s.leftovers()}")
    finally:
        s.close()


def test_a_second_daemon_and_a_port_in_use_are_named(skerry):
    second = subprocess.run([BIN / "skerryd", "--config", skerry.config], capture_output=True, text=True, timeout=20)
    assert second.returncode == 1 and "runs already" in second.stderr
    other = skerry.folder / "other.toml"
    other.write_text(skerry.config.read_text().replace(str(skerry.run), str(skerry.folder / "r2")).replace(str(skerry.state), str(skerry.folder / "s2")))
    taken = subprocess.run([BIN / "skerryd", "--config", other], capture_output=True, text=True, timeout=20)
    assert taken.returncode == 1 and f"port {skerry.https} is in use" in taken.stderr


def test_without_root_it_says_so(skerry):
    result = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BIN / "skerryd", "--config", "/nonexistent.toml"], capture_output=True, text=True,
                            timeout=20)
    assert result.returncode != 0 and result.stderr.startswith("skerryd: ")


def test_a_configuration_with_a_mistake_is_named_by_line(skerry):
    bad = skerry.folder / "bad.toml"
    bad.write_text('domain = "x"\n[ports]\nhttps = "8443"\n')
    result = subprocess.run([BIN / "skerryd", "--config", bad], capture_output=True, text=True, timeout=20)
    assert result.returncode == 1 and "line 3" in result.stderr and "ports.https" in result.stderr


def test_status_names_every_process(skerry):
    names = {p["name"] for p in json.loads(skerry.cli("status", "--json").stdout)["processes"]}
    assert names == {"keeper", "reaper", "filler", "starter", "control", "edge"}


@pytest.mark.parametrize("name", ["control", "starter", "filler", "edge", "keeper", "reaper"])
def test_a_kill_in_the_middle_of_a_ship_loses_nothing(skerry, name):
    """The ship may fail, with words; what was in traffic stays, and shipping again works."""
    example = ROOT / "examples" / "hello-node"
    manifest = (example / "func.toml").read_text().replace("hello-node", "midship")
    assert skerry.ship(example, **{"func.toml": manifest}).returncode == 0
    url = skerry.get("midship")["url"]
    # A build that takes its time, and was not made for another case before: the kill is certainly in its middle.
    slow = manifest + f'[build]\ncommand = "echo building; sleep 2; echo {name}"\n'
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        shipping = pool.submit(skerry.ship, example, **{"func.toml": slow})
        builds = skerry.state / "control" / "builds"
        newest = lambda: max(builds.glob("*.log"), key=lambda p: p.stat().st_mtime_ns)
        skerry.wait(lambda: "building" in newest().read_text(), "the build did not begin")
        old = skerry.processes()[name]
        os.kill(old, signal.SIGKILL)
        result = shipping.result()
    wait_for_new_pid(skerry, name, old)
    skerry.wait(skerry.healthy, f"not healthy after {name} was killed")
    if result.returncode != 0:
        assert "error" in result.stdout + result.stderr
    assert skerry.call(url).text.startswith("hello from Node.js")
    assert skerry.ship(example, **{"func.toml": manifest}).returncode == 0
    states = {r["state"] for r in json.loads(skerry.cli("revisions", "midship", "--json").stdout)["revisions"]}
    assert "building" not in states
