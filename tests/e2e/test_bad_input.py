"""What a stranger gets wrong, end to end: the real CLI, the real daemon, real builds. Each answer says what, where and what to do, has its documented
exit code, and leaves what ran before alone. (Single values of manifests: tests/cli, tests/control; requests: test_answers.py;
hostile archives: tests/security.)"""
import fcntl
import gzip
import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import tarfile
import time

import pytest
from conftest import BIN, ROOT, Skerry, free_port

MANIFEST = '[edge_compute]\nfunc_name = "{}"\n'
HELLO_PYTHON = (ROOT / "examples" / "hello-python" / "func.py").read_text()
PACKAGE = '{"name":"bad","version":"1.0.0","main":"index.js"}'
GO_MOD = "module example.com/bad\n\ngo 1.24\n"
BUILD_FAILED, OVER_LIMIT, NOT_ALLOWED = 6, 7, 4  # docs: `skerry --help`, exit codes

# language -> files, and what must stand in the error: the file with its line, and the compiler's word
MISTAKES = {
    "python-syntax": ({"func.py": "import os\n\ndef new(:\n    pass\n"}, ["func.py", "line 3", "SyntaxError"]),
    "python-module": ({"func.py": "import os\nimport not_there_at_all\ndef new(): pass\n"}, ["func.py", "line 2", "not_there_at_all"]),
    "node-syntax": ({"package.json": PACKAGE, "index.js": "\n\nexports.handle = () => {\n  return (;\n}\n"}, ["index.js:4", "SyntaxError"]),
    "node-module": ({"package.json": PACKAGE, "index.js": "\nconst x = require('not-there-at-all');\nexports.handle = () => x;\n"}, ["index.js:2", "not-there-at-all"]),
    "go-syntax": ({"go.mod": GO_MOD, "handle.go": 'package bad\n\nimport "net/http"\n\nfunc Handle(w http.ResponseWriter, r *http.Request { }\n'}, ["handle.go:5", "parameter list"]),
    "go-package": ({"go.mod": GO_MOD, "handle.go": 'package bad\n\nimport (\n\t"net/http"\n\n\t"example.com/bad/nothere"\n)\n\n'
                                                   'func Handle(w http.ResponseWriter, r *http.Request) { nothere.Do() }\n'}, ["handle.go:6", "example.com/bad/nothere"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_code_is_named_with_file_and_line(skerry, mistake):
    files, words = MISTAKES[mistake]
    result = skerry.ship(None, **{"func.toml": MANIFEST.format(mistake), **files})
    assert result.returncode == BUILD_FAILED, (result.stdout, result.stderr)
    error = json.loads(result.stderr.splitlines()[-1])["error"]
    said = error["message"] + "\n".join(error["details"]["log_tail"])
    assert all(word in said for word in words), error
    # The next look at it says why, too.
    [revision] = json.loads(skerry.cli("revisions", mistake, "--json").stdout)["revisions"]
    assert revision["state"] == "failed" and revision["error"]
    assert revision["error"] in skerry.cli("revisions", mistake).stdout


@pytest.mark.parametrize("example,source,line,words", [
    ("hello-java", "src/main/java/functions/Function.java", "package functions;\npublic class Function {\n  int x = ;\n}\n", ["Function.java:[3,", "illegal start of expression"]),
    ("hello-ts", "src/index.ts", "const broken: number = (;\n", ["src/index.ts(1,", "TS1109"]),
])
def test_a_mistake_that_a_compiler_finds_is_named_with_file_and_line(skerry, example, source, line, words):
    name = example + "-mistake"
    result = skerry.ship(ROOT / "examples" / example, **{"func.toml": MANIFEST.format(name), source.replace("/", "__"): line})
    said = result.stdout + result.stderr
    if result.returncode == BUILD_FAILED and "does not answer" in said:
        pytest.skip("no registry answers here")
    assert result.returncode == BUILD_FAILED and all(word in said for word in words), (result.stdout, result.stderr)
    # The whole log is kept, and the CLI shows it.
    build = json.loads(result.stderr.splitlines()[-1])["error"]["details"]["build_id"]
    assert all(word in skerry.cli("logs", name, "--build", build).stdout for word in words)


def test_a_wrong_token_and_none(skerry):
    home = skerry.folder / "strangers-home"
    home.mkdir(exist_ok=True)
    for token in ("skt_wrong", ""):
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "SKERRY_URL": f"https://localhost:{skerry.api}", "SKERRY_CA": str(skerry.ca), "SKERRY_TOKEN": token}
        for verb in (["ls"], ["ship", str(ROOT / "examples" / "hello-python")]):
            result = subprocess.run([BIN / "skerry", *verb], env=environment, capture_output=True, text=True, timeout=60)
            assert result.returncode == NOT_ALLOWED and "SKERRY_TOKEN" in result.stderr, (result.returncode, result.stderr)


# ---- limits of a package, through the API: the CLI would stop sooner

def tar_of(names_and_sizes):
    out = io.BytesIO()
    with gzip.open(out, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name, data in names_and_sizes:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def ship_archive(skerry, name, archive):
    context = ssl.create_default_context(cafile=skerry.ca)
    headers = {"authorization": f"Bearer {skerry.token}", "content-type": "application/gzip"}
    uploaded = skerry.request("localhost", skerry.api, context, "POST", "/v1/uploads", archive, headers, raw=True)
    assert uploaded.status == 201, uploaded.text
    body = json.dumps({"function": {"name": name}, "source": {"upload": json.loads(uploaded.text)["digest"]}, "language": "python", "config": {}})
    answer = skerry.request("localhost", skerry.api, context, "POST", "/v1/functions/ship", body, headers, raw=True, connect_timeout=120)
    return json.loads(answer.text.splitlines()[-1])


@pytest.mark.parametrize("over", [0, 1])
def test_files_of_a_package_at_the_limit_and_one_past_it(skerry, over):
    files = [("func.py", HELLO_PYTHON.encode())] + [(f"f{n}", b"") for n in range(49_999 + over)]
    last = ship_archive(skerry, "manyfiles", tar_of(files))
    if over:
        assert last["event"] == "error" and last["error"]["code"] == "build_failed" and "50000 files" in last["error"]["message"], last
    else:
        assert last["event"] == "done", last


@pytest.mark.parametrize("over", [0, 1])
def test_bytes_of_a_package_at_the_limit_and_one_past_it(skerry, over):
    code = HELLO_PYTHON.encode()
    last = ship_archive(skerry, "manybytes", tar_of([("func.py", code), ("zeros", bytes((250 << 20) - len(code) + over))]))
    if over:
        assert last["event"] == "error" and "262144000 bytes" in last["error"]["message"], last
    else:
        assert last["event"] == "done", last


# ---- the daemon

class Impatient(Skerry):
    """A build may take four seconds."""

    def start(self):
        if "[build]" not in self.config.read_text():
            with self.config.open("a") as config:
                config.write("[build]\ntimeout_ms = 4000\n")
        super().start()


def test_a_build_that_never_ends_is_stopped_by_the_limits_name():
    if os.geteuid() != 0:
        pytest.skip("makes containers: needs root")
    s = Impatient()
    try:
        files = {"func.py": HELLO_PYTHON}
        assert s.ship(None, **{"func.toml": MANIFEST.format("endless"), **files}).returncode == 0
        endless = MANIFEST.format("endless") + '[build]\ncommand = "echo begun; sleep 1000"\n'
        result = s.ship(None, **{"func.toml": endless, **files})
        assert result.returncode == BUILD_FAILED, (result.stdout, result.stderr)
        error = json.loads(result.stderr.splitlines()[-1])["error"]
        assert "4 s" in error["message"] and "timeout_ms" in error["message"] and "begun" in error["details"]["log_tail"], error
        assert s.call(s.get("endless")["url"]).status == 200  # what was in traffic is
        s.stop()
        s.sweep()
        s.wait(lambda: not s.leftovers(), f"left: {s.leftovers()}")  # the container of the build too
    finally:
        s.close()


@pytest.mark.parametrize("key", ["https", "http", "api"])
def test_each_port_that_is_in_use_is_named_with_what_to_do(tmp_path, key):
    if os.geteuid() != 0:
        pytest.skip("starts skerryd: needs root")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {name: port if name == key else free_port() for name in ("https", "http", "api")}
        config = tmp_path / "skerry.toml"
        config.write_text(f'state_dir = "{tmp_path}/s"\nrun_dir = "{tmp_path}/r"\ntag = "p{os.getpid() % 10**6}"\nsubnet = "198.18.128.0/17"\n[ports]\n'
                          + "".join(f"{name} = {number}\n" for name, number in ports.items()))
        result = subprocess.run([BIN / "skerryd", "--config", config], capture_output=True, text=True, timeout=20)
    assert result.returncode == 1  # once, and with words: nothing tries again behind the caller's back
    assert f"port {port} is in use" in result.stderr and f"[ports] {key}" in result.stderr and "ss -ltnp" in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["scripts/up"], ["scripts/down"], ["skerryd"]])
def test_without_root_it_says_so_and_makes_nothing(command):
    if os.geteuid() != 0:
        pytest.skip("becomes another user: needs root")
    if command[0] != "skerryd" and shutil.which("sudo"):
        pytest.skip("sudo is installed, and asks")
    program = [BIN / "skerryd"] if command == ["skerryd"] else ["bash", ROOT / command[0]]
    result = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *program], capture_output=True, text=True, timeout=20, cwd="/")
    assert result.returncode == 1 and "root" in result.stderr and len(result.stderr.splitlines()) == 1, result.stderr


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_second_make_up_beside_a_first_is_refused(command):
    if os.geteuid() != 0:
        pytest.skip("takes the lock of make up: needs root")
    with open("/run/lock/skerry.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # what `make up` holds while it works
        result = subprocess.run(["bash", ROOT / "scripts" / command], capture_output=True, text=True, timeout=20)
    assert result.returncode == 1 and "is running; wait for it to end" in result.stderr and len(result.stderr.splitlines()) == 1, result.stderr
    assert not result.stdout  # it ended before it did anything


@pytest.mark.parametrize("arguments", [["get"], ["invoke"], ["logs"], ["revisions"], ["env"], ["rollback", "1"], ["rm", "--yes"], ["usage", "--function"], ["secrets", "ls", "--only"]])
def test_a_mistyped_function_name_is_guessed(skerry, arguments):
    assert skerry.ship(None, **{"func.toml": MANIFEST.format("spelled"), "func.py": HELLO_PYTHON}).returncode == 0
    words = ["rollback", "speled", "1"] if arguments[0] == "rollback" else [*arguments, "speled"]
    result = skerry.cli(*words, check=False)
    assert result.returncode == 3 and "`speled`" in result.stderr and "did you mean `spelled`?" in result.stderr, result.stderr
    assert skerry.get("spelled")["name"] == "spelled"


def test_two_make_ups_at_once_take_turns_by_refusal(tmp_path):
    """Two real processes of one script that uses the lock of `make up`; what the first leaves running does not hold it."""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    script = tmp_path / "script"
    script.write_text(f'#!/usr/bin/env bash\nset -euo pipefail\n. "{ROOT}/scripts/lib.sh"\none_at_a_time "$@"\nsleep 600 >/dev/null 2>&1 &\n'
                      f'echo "began $!"\nread -r _ <"{fifo}"\n')
    script.chmod(0o755)
    environment = dict(os.environ, SKERRY_LOCK=str(tmp_path / "lock"))
    start = lambda: subprocess.Popen([script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    left = []
    try:
        for _ in range(2):
            first = start()
            left.append(int(first.stdout.readline().split()[1]))
            second = start()
            out, err = second.communicate(timeout=20)
            assert second.returncode == 1 and "is running; wait for it to end" in err and not out, (out, err)
            fifo.write_text("go\n")
            assert first.wait(20) == 0, first.stderr.read()
    finally:
        for pid in left:
            os.kill(pid, 9)


# ---- CONTRACT.md section 3

ENVIRONMENT = '''
import json, os
class F:
    async def handle(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(dict(os.environ)).encode()})
def new():
    return F()
'''


def test_the_environment_is_the_platforms_then_secrets_then_the_manifests(skerry):
    files = {"func.py": ENVIRONMENT}
    assert skerry.ship(None, **{"func.toml": MANIFEST.format("surroundings"), **files}).returncode == 0
    url = skerry.get("surroundings")["url"]
    plain = json.loads(skerry.call(url).text)
    expected = {"HOME": "/home/fn", "USER": "fn", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC", "SKERRY_FUNCTION": "surroundings", "SKERRY_LOCATION": "local",
                "K_SERVICE": "surroundings", "K_CONFIGURATION": "surroundings", "PYTHONUNBUFFERED": "1"}
    assert {name: plain.get(name) for name in expected} == expected
    assert {"PORT", "PATH", "HOSTNAME", "SKERRY_REVISION", "SKERRY_INSTANCE", "K_REVISION"} <= plain.keys()
    assert not {"SKERRY_URL", "SKERRY_TOKEN", "PWD", "SUDO_USER", "LC_ALL", "SHELL"} & plain.keys()  # nothing of the host's
    for name, value in (("LANG", "secret-lang"), ("TZ", "secret-tz"), ("TOKEN", "secret-token")):
        skerry.cli("secrets", "set", name, "--only", "surroundings", input=value)
    manifest = MANIFEST.format("surroundings") + '[env_vars]\nTZ = "Europe/Berlin"\nTOKEN = "from-manifest"\nHOSTNAME = "mine"\n'
    result = skerry.cli("ship", "--json", written(skerry, {"func.toml": manifest, **files}))
    seen = json.loads(skerry.call(url).text)
    assert {name: seen[name] for name in ("LANG", "TZ", "TOKEN", "HOSTNAME")} == {"LANG": "secret-lang", "TZ": "Europe/Berlin", "TOKEN": "from-manifest", "HOSTNAME": "mine"}
    warnings = result.stderr + result.stdout
    assert all(f"`{name}`" in warnings for name in ("LANG", "TZ", "TOKEN")), warnings
    # Where the function looks for programs is the author's; that its runtime starts is not at stake.
    skerry.cli("secrets", "set", "PATH", "--only", "surroundings", input="/nowhere")
    assert json.loads(skerry.call(url).text)["PATH"] == "/nowhere"
    for name in ("PORT", "SKERRY_X", "K_SERVICE"):
        refused = skerry.ship(None, **{"func.toml": MANIFEST.format("surroundings") + f'[env_vars]\n{name} = "x"\n', **files})
        assert refused.returncode == 2 and name in refused.stderr + refused.stdout, (name, refused.stderr)


LOCAL_TIME = '''
import time
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(time.localtime().tm_gmtoff).encode()})
'''


def test_a_time_zone_holds_in_a_runtime_that_reads_it_when_it_starts(skerry):
    files = {"func.py": LOCAL_TIME}
    manifest = MANIFEST.format("tokyo")
    for text, offset in ((manifest, 0), (manifest + '[env_vars]\nTZ = "Asia/Tokyo"\n', 9 * 3600)):
        result = skerry.ship(None, **{"func.toml": text, **files})
        assert result.returncode == 0, result.stderr
        assert skerry.call(skerry.get("tokyo")["url"]).text == str(offset)


def written(skerry, files):
    folder = skerry.folder / ("project-" + os.urandom(4).hex())
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder
