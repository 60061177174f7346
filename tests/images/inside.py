"""Runs programs inside an unpacked image as uid 1000, and the servers that they talk to. Used by the tests of this folder only."""
import json
import pathlib
import shutil
import subprocess
import sys

USER = 1000
RUN_TIMEOUT_S = 120
DEVICES = ("null", "zero", "full", "random", "urandom")

ENTER = """set -eu
root=$1; cwd=$2; shift 2
mount -t tmpfs -o mode=755 dev "$root/dev"
for name in {devices}; do : >"$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
mkdir -m 1777 "$root/dev/shm"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
exec setpriv --clear-groups --no-new-privs unshare --root="$root" --wd="$cwd" --setgid={user} --setuid={user} "$@"
""".replace("{devices}", " ".join(DEVICES)).replace("{user}", str(USER))

# What CONTRACT says of a function's environment.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/home/fn", "USER": "fn", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC"}


class Root:
    """An unpacked image."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def run(self, *command: str, env: dict[str, str] | None = None, cwd: str = "/", network: "Network | None" = None) -> str:
        """Runs `command` as fn, in the network namespace of `network` or in an empty one; returns its standard output."""
        enter = ["nsenter", f"--net=/proc/{network.pid}/ns/net"] if network else ["unshare", "--net"]
        argv = [*enter, "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "sh", "-c", ENTER, "sh", str(self.path), cwd, *command]
        done = subprocess.run(argv, env=ENVIRONMENT | (env or {}), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)[:300]}: status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    def probe(self, *command: str, **options) -> dict:
        return json.loads(self.run(*command, **options))

    def put(self, source: pathlib.Path, target: str, mode: int = 0o755) -> None:
        path = self.path / target.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, path, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, path)
            path.chmod(mode)


class Network:
    """Servers in a namespace of their own: one certified by the test's CA for `localhost`, one by a CA that nobody trusts."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.ca = folder / "ca.pem"
        self._server: subprocess.Popen | None = None

    def __enter__(self) -> "Network":
        for name in ("ca", "stranger"):
            self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN=test {name}",
                          # Python 3.13 verifies strictly: an authority without key usage is refused.
                          "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        for name, issuer in (("good", "ca"), ("bad", "stranger")):
            self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            (self.folder / "extensions").write_text("subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\nkeyUsage=digitalSignature\n")
            self._openssl("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial",
                          "-extfile", "extensions", "-out", f"{name}.crt")
        server = pathlib.Path(__file__).resolve().parent / "tls_server.py"
        self._server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", sys.executable, str(server), str(self.folder)], stdout=subprocess.PIPE, text=True)
        line = self._server.stdout.readline()
        if not line:
            raise RuntimeError(f"tls_server.py ended with {self._server.wait()} before it listened")
        self.ports = json.loads(line)
        return self

    def __exit__(self, *_) -> None:
        self._server.kill()
        self._server.wait()
        self._server.stdout.close()

    @property
    def pid(self) -> int:
        return self._server.pid

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=30)
