"""Runs programs of the build: contained, so that killing the build kills them, and inside a root where the recipe needs that.

Every child lives in a pid and mount namespace of its own whose init dies with this process. After a SIGKILL nothing is left that
writes into the work folder, and no mount is left on the machine.
"""
import pathlib
import subprocess

from .errors import BuildError

STEP_TIMEOUT_S = 600
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC"}
# Only what programs take for granted: no disks, no terminals.
DEVICES = ("null", "zero", "full", "random", "urandom")

SETUP = """set -eu
root=$1; shift
mount -t tmpfs -o mode=755,size=1m dev "$root/dev"
for name in {devices}; do : >"$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
{network}
exec chroot "$root" "$@"
""".replace("{devices}", " ".join(DEVICES))

# The machine's resolver and CA bundle, for the few steps that ask a registry; both mounts vanish with the namespace.
NETWORK = """mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
mount --bind /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
"""


def contained(command: list[str], *options: str) -> list[str]:
    """`command` in own pid and mount namespaces that end when this process ends."""
    return ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", *options, *command]


def run(root: pathlib.Path, command: list[str], *, online: bool = False, environment: dict[str, str] | None = None) -> str:
    """Runs `command` inside `root` and returns what it printed; without network unless `online`."""
    script = SETUP.replace("{network}", NETWORK if online else "")
    options = [] if online else ["--net"]
    argv = contained(["sh", "-c", script, "sh", str(root), *command], *options)
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=ENVIRONMENT | (environment or {}), timeout=STEP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{command[0]} inside the image: no result within {STEP_TIMEOUT_S} s") from error
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)[:200]} inside the image: status {done.returncode}\n{output[-2000:]}")
    return output
