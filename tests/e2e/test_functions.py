"""Functions in each language, from source to an HTTPS answer out of a real container."""
import concurrent.futures
import json
import os
import re
import subprocess
import time

import pytest
from conftest import ROOT

EXAMPLES = ROOT / "examples"
MANIFEST = '[edge_compute]\nfunc_name = "{}"\n'


def shipped(skerry, result):
    assert result.returncode == 0, (result.stdout, result.stderr, skerry.log())
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", sorted(p.name for p in EXAMPLES.iterdir() if (p / "test.sh").exists()))
def test_each_example_ships_and_passes_its_own_script(skerry, name):
    if name == "webhook-node":
        skerry.cli("secrets", "set", "WEBHOOK_SECRET", input="test-secret")
    shipped(skerry, skerry.ship(EXAMPLES / name))
    url = skerry.get(name)["url"]
    host = re.match(r"https://([^:/]+)", url).group(1)
    # curl resolves *.localhost to loopback by itself; the port is the test's own.
    environment = {"PATH": os.environ["PATH"], "FUNCTION_URL": url, "CURL_CA_BUNDLE": str(skerry.ca), "HOME": str(skerry.folder)}
    result = subprocess.run(["sh", EXAMPLES / name / "test.sh"], env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and "ok" in result.stdout, (host, result.stdout, result.stderr)


@pytest.mark.parametrize("language", ["python", "node", "ts", "go", "java"])
def test_what_init_writes_ships_and_answers(skerry, language):
    name = "first-" + language
    skerry.cli("init", "--lang", language, name, cwd=skerry.folder)
    result = skerry.cli("ship", name, "--json", cwd=skerry.folder, check=False)
    if result.returncode == 6 and "does not answer" in result.stderr:
        pytest.skip("no registry answers here")
    answer = skerry.call(shipped(skerry, result)["url"], "somewhere")
    assert answer.status == 200 and json.loads(answer.text)["message"] == "Hello, world!", answer.text


OVERLAP = '''
import asyncio, os
running = 0
overlapped = 0
class F:
    async def handle(self, scope, receive, send):
        global running, overlapped
        running += 1
        if running > 1:
            overlapped += 1
        await asyncio.sleep(0.05)
        running -= 1
        body = f"{os.environ['SKERRY_INSTANCE']} {overlapped}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
def new():
    return F()
'''


def test_twenty_at_once_never_overlap_in_an_instance(skerry):
    shipped(skerry, skerry.ship(None, **{"func.toml": MANIFEST.format("overlap"), "func.py": OVERLAP}))
    url = skerry.get("overlap")["url"]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: skerry.call(url), range(60)))
    assert [a.status for a in answers] == [200] * 60, {a.text for a in answers}
    assert all(a.text.split()[1] == "0" for a in answers)
    assert len({a.text.split()[0] for a in answers}) > 1  # load made instances


def test_idle_instances_go_and_the_next_answer_is_right(skerry):
    manifest = MANIFEST.format("idle") + '[runtime]\nidle_timeout = "3s"\n'
    shipped(skerry, skerry.ship(EXAMPLES / "hello-python", **{"func.toml": manifest}))
    f = skerry.get("idle")
    assert skerry.call(f["url"]).status == 200
    # What control knows is up to a second old: seen there first, so that its absence means something.
    there = lambda: [i for i in skerry.instances() if i["function"] == f["id"]]
    skerry.wait(there, "the instance was never reported")
    skerry.wait(lambda: not there(), "the instance did not go")
    answer = skerry.call(f["url"])
    assert answer.status == 200 and re.search('desc="(boot|prestart)"', answer.headers["server-timing"])


def test_logs_carry_the_request_and_usage_counts_it(skerry):
    source = 'class F:\n    async def handle(self, scope, receive, send):\n        print("line-" + scope["path"])\n' \
             '        await send({"type":"http.response.start","status":200,"headers":[]})\n        await send({"type":"http.response.body","body":b"12345"})\n' \
             'def new():\n    return F()\n'
    shipped(skerry, skerry.ship(None, **{"func.toml": MANIFEST.format("logged"), "func.py": source}))
    url = skerry.get("logged")["url"]
    for n in range(3):
        skerry.call(url, f"r{n}", headers={"x-request-id": f"request-{n}"})
    lines = [json.loads(l) for l in skerry.cli("logs", "logged", "--request-id", "request-1", "--json").stdout.splitlines()]
    assert [l["line"] for l in lines] == ["line-/r1"]
    usage = [u for u in json.loads(skerry.cli("usage", "--json").stdout)["functions"] if u["function"] == "logged"]
    assert usage[0]["requests"] == 3 and usage[0]["response_bytes"] == 15


SECRET = 'import os\nprint("the value is", os.environ["API_KEY"])\nclass F:\n    async def handle(self, scope, receive, send):\n        print("again", os.environ["API_KEY"])\n' \
         '        await send({"type":"http.response.start","status":200,"headers":[]})\n        await send({"type":"http.response.body","body":os.environ["API_KEY"].encode()})\n' \
         'def new():\n    return F()\n'


def test_secrets_reach_the_function_and_nothing_else(skerry):
    skerry.cli("secrets", "set", "API_KEY", input="correct-horse-battery")
    manifest = MANIFEST.format("secretive") + '[[secrets]]\nbinding = "API_KEY"\nname = "API_KEY"\n'
    shipped(skerry, skerry.ship(None, **{"func.toml": manifest, "func.py": SECRET}))
    url = skerry.get("secretive")["url"]
    assert skerry.call(url).text == "correct-horse-battery"
    assert "correct-horse" not in skerry.cli("logs", "secretive").stdout
    assert "correct-horse" not in skerry.cli("secrets", "ls").stdout
    skerry.cli("secrets", "set", "API_KEY", input="another-value-entirely")  # taken by a new revision, without a build
    assert skerry.call(url).text == "another-value-entirely"
    for path in skerry.folder.rglob("*"):
        if path.is_file() and "layers" not in path.parts and not path.is_symlink() and path.stat().st_size < 32 << 20:
            assert b"correct-horse" not in path.read_bytes(), path


def test_rollback_is_a_route_change(skerry):
    for n in (1, 2):
        source = f'class F:\n    async def handle(self, scope, receive, send):\n        await send({{"type":"http.response.start","status":200,"headers":[]}})\n' \
                 f'        await send({{"type":"http.response.body","body":b"v{n}"}})\ndef new():\n    return F()\n'
        shipped(skerry, skerry.ship(None, **{"func.toml": MANIFEST.format("rolled"), "func.py": source}))
    url = skerry.get("rolled")["url"]
    assert skerry.call(url).text == "v2"
    begin = time.monotonic()
    skerry.cli("rollback", "rolled", "1")
    assert time.monotonic() - begin < 2
    assert skerry.call(url).text == "v1"
    revisions = json.loads(skerry.cli("revisions", "rolled", "--json").stdout)["revisions"]
    newest = [r for r in revisions if r["number"] == 2][0]
    assert skerry.call(newest["url"]).text == "v2"  # each revision has a host of its own


def test_bodies_stream_both_ways_and_are_bounded(skerry):
    source = 'class F:\n    async def handle(self, scope, receive, send):\n        size = 0\n        while True:\n            m = await receive()\n            size += len(m.get("body", b""))\n' \
             '            if not m.get("more_body"):\n                break\n        await send({"type":"http.response.start","status":200,"headers":[]})\n' \
             '        for i in range(3):\n            await send({"type":"http.response.body","body":f"{size} ".encode(),"more_body":True})\n        await send({"type":"http.response.body","body":b"end"})\n' \
             'def new():\n    return F()\n'
    shipped(skerry, skerry.ship(None, **{"func.toml": MANIFEST.format("streams"), "func.py": source}))
    url = skerry.get("streams")["url"]
    size = 10 << 20
    assert skerry.call(url, method="POST", body=b"x" * size).text == f"{size} {size} {size} end"
    assert skerry.call(url, method="POST", body=b"x" * (size + 1)).status == 413


@pytest.mark.parametrize("name,files,status,words", [
    ("syntax", {"func.py": "def new(:\n"}, 6, "SyntaxError"),
    ("missing", {"func.py": "import not_there_at_all\ndef new(): pass\n"}, 6, "not_there_at_all"),
    ("raises", {"func.py": "raise RuntimeError('at import')\n"}, 6, "at import"),
    ("nothing", {"README": "x"}, 2, "language"),
    ("listed", {"func.py": "def new(): pass\n", "extra": '[[secrets]]\nbinding = "NOPE"\nname = "NOPE"\n'}, 2, "NOPE"),
    ("typed", {"func.py": "def new(): pass\n", "extra": "[runtime]\nmemory = 5\n"}, 2, "memory"),
    ("unknown", {"func.py": "def new(): pass\n", "extra": "[runtim]\nmemory = '64MB'\n"}, 2, "runtime"),
])
def test_bad_input_is_named(skerry, name, files, status, words):
    manifest = MANIFEST.format(name) + files.pop("extra", "")
    result = skerry.ship(None, **{"func.toml": manifest, **files})
    assert result.returncode == status, (result.returncode, result.stdout, result.stderr)
    assert words in result.stdout + result.stderr


def test_a_failed_ship_leaves_what_was_in_traffic(skerry):
    good = (EXAMPLES / "hello-python" / "func.py").read_text()
    shipped(skerry, skerry.ship(None, **{"func.toml": MANIFEST.format("kept"), "func.py": good}))
    url = skerry.get("kept")["url"]
    assert skerry.ship(None, **{"func.toml": MANIFEST.format("kept"), "func.py": "raise RuntimeError('no')\n"}).returncode == 6
    assert skerry.call(url).status == 200


def test_a_wrong_token_is_refused(skerry):
    answer = skerry.api_call("GET", "/v1/functions", token="wrong", raw=True)
    assert answer.status == 401 and json.loads(answer.text)["error"]["code"] == "unauthorized"


def test_dependencies_are_installed_once(skerry):
    files = {"func.toml": MANIFEST.format("withdeps"), "requirements.txt": "six==1.16.0\n",
             "func.py": (EXAMPLES / "hello-python" / "func.py").read_text().replace("import os", "import os, six").replace("revision", "six {six.__version__}, revision")}
    result = skerry.ship(None, **files)
    if result.returncode != 0 and "pip could not install" in result.stdout + result.stderr:
        pytest.skip("no Python registry answers here")
    shipped(skerry, result)
    assert "six 1.16.0" in skerry.call(skerry.get("withdeps")["url"]).text
    begin = time.monotonic()
    shipped(skerry, skerry.ship(None, **{**files, "func.py": files["func.py"] + "\n# changed\n"}))
    assert time.monotonic() - begin < 3
