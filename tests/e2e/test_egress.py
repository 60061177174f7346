"""[egress] from the manifest to the packet: a network namespace of the test's own is the internet, and the operator's database."""
import json
import os
import subprocess
import sys

import pytest
from conftest import Skerry

UPLINK, ALLOWED, DENIED, DATABASE = "203.0.113.1", "203.0.113.2", "203.0.113.3", "10.88.7.7"
PORTS = (8000, 9000)
MANIFEST = '[edge_compute]\nfunc_name = "held"\n[egress]\n{}\n'
SOURCE = '''
import json, socket
def connects(place):
    host, port = place.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 1).close()
        return True
    except OSError:
        return False
def app(environ, start_response):
    gateway = open("/etc/resolv.conf").read().split()[1]
    places = environ["QUERY_STRING"].replace("gateway", gateway).split(",")
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps([connects(p) for p in places]).encode()]
'''
SERVE = '''
import socket, sys
listeners = []
for port in {}:
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("0.0.0.0", port)); s.listen(64); listeners.append(s)
print("up", flush=True)
sys.stdin.read()
'''.format(PORTS)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def internet():
    if os.geteuid() != 0:
        pytest.skip("makes network namespaces: needs root")
    name = "ee" + os.urandom(3).hex()
    ip("netns", "add", name)
    try:
        ip("link", "add", name + "h", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", UPLINK + "/24", "dev", name + "h")
        ip("link", "set", name + "h", "up")
        for command in (["addr", "add", ALLOWED + "/24", "dev", "eth0"], ["addr", "add", DENIED + "/24", "dev", "eth0"], ["addr", "add", DATABASE + "/32", "dev", "eth0"],
                        ["link", "set", "eth0", "up"], ["route", "add", "default", "via", UPLINK]):
            ip("-n", name, *command)
        ip("route", "add", DATABASE + "/32", "via", ALLOWED)
        with subprocess.Popen(["ip", "netns", "exec", name, sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout.readline() == "up\n"
            yield
            server.stdin.close()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.fixture(scope="module")
def here(internet):
    s = Skerry(settings=f'[egress]\nopen = ["{DATABASE}:9000"]\n')
    yield s
    s.close()


def ship(skerry, egress):
    result = skerry.ship(None, **{"func.toml": MANIFEST.format(egress), "func.py": SOURCE})
    return result, json.loads(result.stdout) if result.returncode == 0 else None


def reaches(skerry, *places):
    answer = skerry.call(skerry.get("held")["url"], "?" + ",".join(places))
    assert answer.status == 200, answer.text
    return [p for p, there in zip(places, json.loads(answer.text)) if there]


PLACES = [f"{host}:{port}" for host in (ALLOWED, DENIED, DATABASE) for port in PORTS]


def test_a_function_reaches_what_its_manifest_says(here):
    result, shipped = ship(here, f'allow = ["203.0.113.0/24:8000"]\ndeny = ["{DENIED}"]')
    assert shipped, result.stderr
    # .. and the platform's own port, whatever the lists say.
    assert reaches(here, *PLACES, f"gateway:{here.https}") == [f"{ALLOWED}:8000", f"gateway:{here.https}"]
    config = here.get("held")["config"]
    assert config["egress"] == {"allow": ["203.0.113.0/24:8000"], "deny": [DENIED]}


def test_changed_lists_are_a_new_revision_without_a_build(here):
    result, shipped = ship(here, f'deny = ["{DENIED}"]')
    assert shipped, result.stderr
    assert reaches(here, *PLACES) == [f"{ALLOWED}:8000", f"{ALLOWED}:9000"]
    before = here.get("held")["revision"] if "revision" in here.get("held") else None
    answer = here.api_call("POST", "/v1/functions/ship", json.dumps({"function": {"name": "held"}, "source": None, "config": {"egress": {"allow": [DENIED + ":9000"]}}}), raw=True)
    events = [json.loads(line) for line in answer.text.splitlines() if line]
    assert events[-1]["event"] == "done", events
    assert not {e["stage"] for e in events if e["event"] == "stage"} & {"unpack", "detect", "deps", "build", "layer"}, events
    assert events[-1]["revision"] != before
    assert reaches(here, *PLACES) == [f"{DENIED}:9000"]


def test_what_the_operator_opened_is_reached_by_who_names_it(here):
    result, shipped = ship(here, f'allow = ["{DATABASE}:9000", "{ALLOWED}:8000"]')
    assert shipped, result.stderr
    assert reaches(here, *PLACES) == [f"{ALLOWED}:8000", f"{DATABASE}:9000"]
    result, shipped = ship(here, 'allow = ["0.0.0.0/0"]')
    assert shipped, result.stderr
    assert reaches(here, *PLACES) == [p for p in PLACES if not p.startswith(DATABASE)]


@pytest.mark.parametrize("egress,words", [
    ('allow = ["api.example.com"]', ["\"line\":4", "api.example.com", "not names"]),
    ('deny = []\nallow = ["203.0.113.7/24"]', ["\"line\":5", "203.0.113.0/24"]),
    ("allow = []", ["\"line\":4", "leave it out"]),
    (f'allow = ["{DATABASE}:8000"]', [f"{DATABASE}:8000", "10.0.0.0/8", "skerry.toml"]),
    ('allow = ["169.254.169.254"]', ["169.254.0.0/16"]),
    ('allow = ["203.0.113.7:25"]', ["mail"]),
    ('allow = ["2001:db8::1"]', ["IPv6"]),
])
def test_what_could_never_be_reached_is_refused_with_the_reason(here, egress, words):
    result, shipped = ship(here, egress)
    assert shipped is None
    assert all(w in result.stdout + result.stderr for w in words), result.stdout + result.stderr


def test_a_daemon_that_is_to_open_what_it_may_not_does_not_start(here):
    for never, why in (("127.0.0.1", "never opened"), (here.subnet, "never opened"), ("203.0.113.7", "not within"), ("x", "not an address")):
        config = here.folder / "bad.toml"
        config.write_text(here.config.read_text().replace(f'"{DATABASE}:9000"', f'"{never}"'))
        done = subprocess.run([here.process.args[0], "--config", config], capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and why in done.stderr and "bad.toml line" in done.stderr, done.stderr
