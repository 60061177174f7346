"""Attacks from inside a function that was shipped in the ordinary way."""
import concurrent.futures
import errno
import json
import os
import pathlib
import time

import pytest

SOURCE = '''
import hashlib, json, os, socket, sys, ctypes
libc = ctypes.CDLL(None, use_errno=True)

def attempt(f):
    try:
        return repr(f())
    except BaseException as error:
        return f"{type(error).__name__}: {error}"

def reach(address, port):
    s = socket.create_connection((address, port), 1.5)
    s.close()
    return "reached"

class F:
    async def handle(self, scope, receive, send):
        target = json.loads((await receive())["body"])
        if target.get("die"):
            os._exit(1)
        if target.get("tamper"):
            with open(sys.modules["__main__"].__file__, "a") as shim:
                shim.write("# owned")
        out = {
            "reach": {f"{a}:{p}": attempt(lambda: reach(a, p)) for a, p in target["reach"]},
            "read": {p: attempt(lambda: open(p).read(64)) for p in target["read"]},
            "write": {p: attempt(lambda: open(p, "w")) for p in target["write"]},
            "exe": attempt(lambda: os.open("/proc/1/exe", os.O_RDONLY)),
            "mem": attempt(lambda: open("/proc/1/mem", "rb")),
            "environ": attempt(lambda: open("/proc/1/environ", "rb").read(64)),
            "kill": attempt(lambda: os.kill(1, 9)),
            "fds": [attempt(lambda: os.readlink(f"/proc/self/fd/{n}")) for n in os.listdir("/proc/self/fd")],
            "mount": [libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), ctypes.get_errno()],
            "unshare": [libc.unshare(0x10000000), ctypes.get_errno()],
            "runtime": {p: attempt(lambda: open(p, "r+")).split(":")[0] for p in {os.__file__, sys.executable, socket.__file__}},
            "shim": hashlib.sha256(open(sys.modules["__main__"].__file__, "rb").read()).hexdigest(),
        }
        body = json.dumps(out).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

def new():
    return F()
'''


@pytest.fixture(scope="module")
def seen(skerry):
    result = skerry.ship(None, **{"func.toml": '[edge_compute]\nfunc_name = "attacker"\n', "func.py": SOURCE})
    assert result.returncode == 0, result.stdout + result.stderr
    question = {
        "reach": [[skerry.gateway, skerry.https], [skerry.gateway, skerry.api], [skerry.gateway, skerry.http], ["127.0.0.1", skerry.api], ["169.254.169.254", 80],
                  ["10.0.0.1", 80], ["192.168.1.1", 80]],
        "read": ["/etc/shadow", "/proc/kcore", "/proc/keys", "/proc/1/root/etc/hostname", "/sys/kernel/notes", str(skerry.state / "control" / "master.key")],
        "write": ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/dev/null/x", "/usr/bin/python3"],
    }
    answer = skerry.call(skerry.get("attacker")["url"], method="POST", body=json.dumps(question))
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


def test_reaches_ingress_and_neither_the_platform_nor_private_networks(seen, skerry):
    got = {to: said.strip("'").split(":")[0] for to, said in seen["reach"].items()}
    refused = got.pop(f"127.0.0.1:{skerry.api}")  # its own loopback, where nobody listens
    assert got.pop(f"{skerry.gateway}:{skerry.https}") == "reached" and refused == "ConnectionRefusedError", seen["reach"]
    assert len(got) == 5 and set(got.values()) == {"TimeoutError"}, seen["reach"]


def test_reads_nothing_of_the_host(seen):
    read = {path: got.split(":")[0] for path, got in seen["read"].items()}
    key, = (path for path in read if path.endswith("master.key"))
    kcore = "''" if os.path.exists("/proc/kcore") else "FileNotFoundError"
    assert read == {"/etc/shadow": read["/etc/shadow"], "/proc/kcore": kcore, "/proc/keys": "''", "/proc/1/root/etc/hostname": "PermissionError", "/sys/kernel/notes": "FileNotFoundError",
                    key: "FileNotFoundError"}
    assert read["/etc/shadow"] in ("PermissionError", "FileNotFoundError")  # the image's own, if it has one


def test_writes_nothing_of_the_kernel(seen):
    written = {path: int(got.split("Errno ")[1].split("]")[0]) for path, got in seen["write"].items()}
    sysrq = errno.EROFS if os.path.exists("/proc/sysrq-trigger") else errno.ENOENT
    assert written == {"/proc/sys/kernel/core_pattern": errno.EROFS, "/proc/sysrq-trigger": sysrq, "/sys/kernel/uevent_helper": errno.ENOENT, "/dev/null/x": errno.ENOTDIR,
                       "/usr/bin/python3": errno.EACCES}


def test_init_is_out_of_reach(seen):
    # CVE-2019-5736: the runtime's own program through /proc/1/exe; its memory is a copy of starter's.
    assert {seen[key].split(":")[0] for key in ("exe", "mem", "environ")} == {"PermissionError"}, seen
    assert seen["kill"] in ("None", "PermissionError: [Errno 1] Operation not permitted")  # pid 1 takes no signal from inside


def test_inherits_no_descriptor(seen):
    # CVE-2024-21626
    for target in seen["fds"]:
        assert target.strip("'").startswith(("pipe:", "socket:", "/dev/null", "/proc/", "anon_inode", "FileNotFoundError")), seen["fds"]


def test_a_changed_shim_is_the_instances_own(skerry, seen):
    """The interpreter and its library are root's. The shim can be written where it is the function's own user's: the next instance has the original."""
    def shims():
        return {p: p.read_bytes() for p in skerry.state.rglob("layers/*/skerry/shim/python/main.py")}
    lower = shims()
    assert len(lower) == 1
    url = skerry.get("attacker")["url"]
    def ask(**what):
        return skerry.call(url, method="POST", body=json.dumps({"reach": [], "read": [], "write": [], **what}))
    assert set(seen["runtime"].values()) == {"PermissionError"}, seen["runtime"]
    original = json.loads(ask().text)["shim"]
    assert json.loads(ask(tamper=True).text)["shim"] != original
    assert ask(die=True).status == 502
    assert json.loads(ask().text)["shim"] == original
    assert shims() == lower


FLOODER = '''
import os

class F:
    async def handle(self, scope, receive, send):
        line = b"x" * 8191 + b"\\n"
        for _ in range(5120):
            os.write(1, line)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"flooded"})

def new():
    return F()
'''


def test_a_log_flood_costs_only_who_makes_it(skerry, seen):
    """40 MB a request: edge's memory and the log's folder stay within their bounds, and another function answers meanwhile."""
    def resident_mb():
        status = pathlib.Path(f"/proc/{skerry.processes()['edge']}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) >> 10
    result = skerry.ship(None, **{"func.toml": '[edge_compute]\nfunc_name = "flooder"\n', "func.py": FLOODER})
    assert result.returncode == 0, result.stdout + result.stderr
    flooder, other = skerry.get("flooder")["url"], skerry.get("attacker")["url"]
    before = resident_mb()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        flood = pool.submit(lambda: [skerry.call(flooder).text for _ in range(2)])
        slowest = 0
        while not flood.done():
            began = time.monotonic()
            assert skerry.call(other, method="POST", body=json.dumps({"reach": [], "read": [], "write": []})).status == 200
            slowest = max(slowest, time.monotonic() - began)
        assert flood.result() == ["flooded"] * 2
    assert slowest < 3 and resident_mb() - before < 64, (slowest, before, resident_mb())
    sizes = {}
    for path in skerry.state.rglob("*"):
        if path.is_file() and "log" in str(path.relative_to(skerry.state)):
            sizes[path.parent] = sizes.get(path.parent, 0) + path.stat().st_size
    assert sizes and max(sizes.values()) < 40 << 20, sizes


def test_may_not_mount_or_unshare(seen):
    assert seen["mount"] == seen["unshare"] == [-1, errno.ENOSYS]
