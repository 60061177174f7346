"""Knative's runtime contract, section by section, as an own server sees it that was shipped in the ordinary way. README.md is the list; every test names its section."""
import json

import pytest

SERVER = __import__("pathlib").Path(__file__).parent / "functions" / "server.py"
MANIFEST = '[edge_compute]\nfunc_name = "contract"\n[runtime]\nlanguage = "python"\nentrypoint = ["python3", "server.py", "one", "two words", ""]\n[env_vars]\nGIVEN = "a value = with signs"\n'
DEVICES = {f"/dev/{name}": "device" for name in ("null", "zero", "full", "random", "urandom")}
LINKS = {"/dev/fd": "link to /proc/self/fd", "/dev/stdin": "link to /proc/self/fd/0", "/dev/stdout": "link to /proc/self/fd/1", "/dev/stderr": "link to /proc/self/fd/2",
         "/dev/ptmx": "link to pts/ptmx"}
FOLDERS = dict.fromkeys(["/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/tmp", "/app", "/home/fn"], "folder")
SYSCTLS = ["/proc/sys/kernel/hostname", "/proc/sys/vm/overcommit_memory", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/core/somaxconn", "/proc/sys/fs/file-max"]


@pytest.fixture(scope="module")
def shipped(skerry):
    result = skerry.ship(None, **{"func.toml": MANIFEST, "server.py": SERVER.read_text()})
    assert result.returncode == 0, result.stdout + result.stderr
    return skerry.get("contract")


@pytest.fixture(scope="module")
def seen(skerry, shipped):
    headers = {"x-look": json.dumps([*DEVICES, *LINKS, *FOLDERS]), "x-write": json.dumps(["/tmp/x", "/app/x", "/home/fn/x", "/dev/shm/x", "/etc/x", "/sys/x", *SYSCTLS]),
               "x-own": "Kept as it came", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    answer = skerry.call(shipped["url"], "/look", headers=headers)
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


# ---- Runtime and lifecycle


def test_lifecycle_failures_of_the_process_are_logged(skerry, shipped, seen):
    """Lifecycle: failures of the developer's process MUST be logged where the developer can see it."""
    assert skerry.call(shipped["url"], "/die").status == 502
    skerry.wait(lambda: "the server gives up" in skerry.cli("logs", "contract").stdout, "the last words are not in the log")


def test_file_descriptors_standard_input_is_at_its_end(seen):
    """File descriptors: a read from standard input SHOULD result in EOF."""
    assert seen["stdin"] == ""


def test_file_descriptors_output_is_kept(skerry, seen):
    """File descriptors: standard output and error SHOULD be collected where the developer can read them."""
    skerry.wait(lambda: all(f"said on standard {name}" in skerry.cli("logs", "contract").stdout for name in ("output", "error")), "what was printed is not in the log")


def test_file_descriptors_pipes_work_between_processes(seen):
    """File descriptors: pipes can be used between processes of the same container."""
    assert seen["pipe"] == "from a process of the same container"


def test_dev_symbolic_links(seen):
    """Dev symbolic links: as specified by OCI."""
    assert {path: seen["kinds"][path] for path in LINKS} == LINKS


# ---- Network environment


def test_protocols_and_ports(seen):
    """Protocols and ports: HTTP/1.1, at the port that PORT names."""
    assert seen["version"] == "HTTP/1.1" and 0 < int(seen["env"]["PORT"]) < 65536


def test_headers(seen, shipped):
    """Headers: Host and Forwarded MUST be set, the X-Forwarded ones and those of a trace SHOULD, the rest SHOULD be what came."""
    headers = dict(seen["headers"])
    host = shipped["url"].split("/")[2]
    assert headers["host"] == host and headers["x-own"] == "Kept as it came"
    assert f"host=\"{host}\"" in headers["forwarded"] and "proto=https" in headers["forwarded"] and "for=" in headers["forwarded"]
    assert headers["x-forwarded-proto"] == "https" and headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"


def test_meta_requests_readiness_is_asked_until_it_is_given(seen):
    """Meta requests: no request before the probe succeeds; it refused twice in this very instance, and is not asked again."""
    assert seen["asked"] == 3


def test_meta_requests_a_deployment_is_probed(skerry):
    """Deployment probe: an instance SHOULD be started at deployment, and a revision that does not become ready SHOULD be marked as failed."""
    result = skerry.ship(None, **{"func.toml": MANIFEST.replace("contract", "unready"), "server.py": "raise SystemExit('no database')\n"})
    assert result.returncode == 6 and "no database" in result.stdout + result.stderr


def test_dns(seen):
    """DNS: the files below /etc SHOULD lead to a resolver of the environment."""
    assert seen["files"]["/etc/resolv.conf"].startswith("nameserver ") and "localhost" in seen["files"]["/etc/hosts"]
    assert seen["files"]["/etc/hostname"].strip() == seen["hostname"] == seen["env"]["HOSTNAME"]


# ---- Configuration


def test_process_arguments(seen):
    """Process: the arguments arrive as they were given, spaces and empty ones too."""
    assert seen["argv"] == ["server.py", "one", "two words", ""]


def test_process_has_no_terminal(seen):
    """Process: `terminal` SHOULD NOT be true."""
    assert seen["terminal"] is False and seen["fds"]["0"] == "/dev/null" and all(seen["fds"][fd].startswith("pipe:") for fd in "12")


def test_process_environment(seen):
    """Process: PORT MUST be set, K_SERVICE, K_CONFIGURATION and K_REVISION SHOULD; what the developer set arrives."""
    env = seen["env"]
    assert env["K_SERVICE"] == env["K_CONFIGURATION"] == "contract" and env["K_REVISION"] and env["GIVEN"] == "a value = with signs"


def test_process_working_directory(seen):
    """Process: the working directory is the one of the image's configuration; here /app, and the program was found in it."""
    assert seen["cwd"] == "/app"


def test_user(seen):
    """User: the documented default, which is not root and has a name."""
    assert (seen["uid"], seen["gid"], seen["groups"], seen["user"], seen["group"]) == (1000, 1000, [], "fn", "fn")


def test_default_filesystems(seen):
    """Default filesystems: OCI's, and /tmp that MUST be read-write."""
    assert {path: seen["kinds"][path] for path in FOLDERS} == FOLDERS
    assert {point: seen["mounts"][point]["type"] for point in ("/proc", "/dev/pts", "/dev/shm")} == {"/proc": "proc", "/dev/pts": "devpts", "/dev/shm": "tmpfs"}
    assert {path: seen["write"][path] for path in ("/tmp/x", "/app/x", "/home/fn/x", "/dev/shm/x")} == dict.fromkeys(["/tmp/x", "/app/x", "/home/fn/x", "/dev/shm/x"], "ok")
    assert seen["write"]["/etc/x"] == "PermissionError"


def test_devices(seen):
    """Devices: the default ones of OCI."""
    assert {path: seen["kinds"][path] for path in DEVICES} == DEVICES


def test_control_groups(seen):
    """Control groups: chosen by the platform, and not to be written; the container's own view begins at its root."""
    assert seen["write"]["/sys/x"] == "OSError" and "ro" in seen["mounts"]["/sys"]["options"]
    assert not any(mount["type"] in ("cgroup", "cgroup2") and "rw" in mount["options"] for mount in seen["mounts"].values())
    assert all(line.endswith(":/") for line in seen["files"]["/proc/self/cgroup"].splitlines() if "name=" not in line)


def test_sysctl(seen):
    """Sysctl: SHOULD NOT be exposed for tuning."""
    assert {seen["write"][path] for path in SYSCTLS} <= {"PermissionError", "OSError"}, seen["write"]


def test_masked_and_read_only_paths(seen):
    """Masked paths, readonly paths: set by the platform."""
    assert "ro" in seen["mounts"]["/proc/sys"]["options"] and {"/proc/kcore", "/proc/keys", "/proc/timer_list"} & set(seen["mounts"])
