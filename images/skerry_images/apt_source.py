"""Reads the machine's own apt configuration: which mirror it uses, and how it reaches it.

The recipes name suites, never hosts: where packages come from is the machine's decision, and a machine behind a proxy or an
own mirror is one for the images too.
"""
import glob
import pathlib
import re
import subprocess

from .errors import BuildError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SOURCE_GLOBS = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.sources", "/etc/apt/sources.list.d/*.list")

# Suites that only Debian's own archive has under these names; third-party sources use names such as "bookworm-pgdg" or "nodistro".
DEBIAN_SUITES = {"stable", "oldstable", "testing", "unstable", "sid", "bullseye", "bookworm", "trixie", "forky", "duke"}

# How to reach a mirror (proxy, CA bundle, retries, clock leniency) is taken over; what to fetch and where to keep it is not.
ACQUIRE = re.compile(r"^Acquire::(https?|ftp|Retries|Check-Valid-Until|Check-Date|ForceIPv[46]|Max-ValidTime)\b")


def entries() -> list[tuple[str, str, list[str]]]:
    """(URI, suite, components) of every enabled binary source, in apt's own order."""
    found = []
    for pattern in SOURCE_GLOBS:
        for path in sorted(glob.glob(pattern)):
            text = pathlib.Path(path).read_text(errors="replace")
            found += _deb822(text) if path.endswith(".sources") else _one_line(text)
    return found


def _one_line(text: str) -> list[tuple[str, str, list[str]]]:
    found = []
    for line in text.splitlines():
        match = re.match(r"^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match:
            found.append((match[1], match[2], match[3].split()))
    return found


def _deb822(text: str) -> list[tuple[str, str, list[str]]]:
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[key] = fields.get(key, "") + " " + line.strip()
            elif ":" in line:
                key, value = line.split(":", 1)
                key = key.lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                found.append((uri, suite, fields.get("components", "").split()))
    return found


def sources_for(suite: str) -> str:
    """One-line sources of `suite` with its updates and security archive, from the mirrors that this machine uses."""
    known = [(uri, name) for uri, name, components in entries() if "main" in components and not uri.startswith("cdrom:")]
    mirror = next((uri for uri, name in known if name in DEBIAN_SUITES), None)
    security = next((uri for uri, name in known if name.partition("-security")[1] and name.partition("-")[0] in DEBIAN_SUITES), None)
    if mirror is None:
        raise BuildError("no Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d: name one there, with component main")
    option = f"deb [signed-by={KEYRING}]"
    lines = [f"{option} {mirror} {suite} main", f"{option} {mirror} {suite}-updates main"]
    if security is not None:
        lines.append(f"{option} {security} {suite}-security main")
    return "\n".join(lines) + "\n"


def acquire_options() -> str:
    """The machine's settings for reaching a mirror, in apt.conf syntax."""
    dump = subprocess.run(["apt-config", "dump", "--format", '%F "%v";%n'], check=True, capture_output=True, text=True).stdout
    return "".join(line + "\n" for line in dump.splitlines() if ACQUIRE.match(line) and not line.endswith('"";'))
