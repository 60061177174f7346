"""The build's stage `deps`: reads a tar of manifests from standard input, installs what they name, and writes a tar of the packages to standard output. Runs in
the Python build image as fn; see shims/build/README.md. The project itself is never built (CONTRACT section 2)."""
import compileall
import io
import os
import pathlib
import py_compile
import re
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import urllib.parse

WORK = pathlib.Path(tempfile.gettempdir())
MANIFESTS = WORK / "manifests"
TARGET = WORK / "packages"
TIMEOUT_S = 6  # of one read; with one retry a silent registry is named within 20 s
CONNECT_S = 8
ITSELF = re.compile(r"^(-e|--editable)?[ =]*\.(\[[^]]*\])?$")


def fail(message):
    print(message, file=sys.stderr, flush=True)
    sys.exit(1)


def read_manifests():
    with tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())) as archive:
        for member in archive:
            if member.isfile() and not member.name.startswith("/") and ".." not in member.name.split("/"):
                path = MANIFESTS / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.extractfile(member).read())


def project_dependencies():
    """[project].dependencies, or None where it has no such list."""
    path = MANIFESTS / "pyproject.toml"
    if not path.exists():
        return None
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fail(f"pyproject.toml: {error}")
    names = project.get("dependencies") if isinstance(project, dict) else None
    if names is not None and (not isinstance(names, list) or not all(isinstance(n, str) for n in names)):
        fail("pyproject.toml: [project] dependencies must be a list of strings")
    return names


def requirements_file():
    """The file for pip, or None where there is nothing to install. Where the code is mounted, relative paths in it are the project's."""
    folder = pathlib.Path(os.environ.get("SKERRY_SRC") or MANIFESTS)
    names = project_dependencies()
    if names:
        path = WORK / "dependencies.txt"
        path.write_text("\n".join(names) + "\n")
        return path
    path = folder / "requirements.txt"
    if not path.exists():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    kept = [line for line in lines if not ITSELF.match(line.split("#")[0].strip())]
    if not any(line.strip() and not line.strip().startswith("#") for line in kept):
        return None
    if len(kept) != len(lines):
        print("the project itself is not installed: its code is at /app", file=sys.stderr, flush=True)
        path.write_text("\n".join(kept) + "\n")
    return path


def index_url():
    result = subprocess.run([sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    url = os.environ.get("PIP_INDEX_URL") or result.stdout.strip()
    if url:
        return url
    from pip._internal.models.index import PyPI  # pip's own default
    return PyPI.simple_url


def through(url):
    """Where a connection for `url` really goes: the proxy, or the host itself."""
    parts = urllib.parse.urlsplit(url)
    proxy = os.environ.get(parts.scheme.upper() + "_PROXY") or os.environ.get(parts.scheme + "_proxy")
    if proxy and parts.hostname not in (os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "").split(","):
        via = urllib.parse.urlsplit(proxy if "://" in proxy else "http://" + proxy)
        return via.hostname, via.port or 3128
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def reach(url):
    """Fails, naming the registry, unless a connection to it can be made in time."""
    if not url.startswith(("http://", "https://")):
        return
    name = urllib.parse.urlsplit(url).hostname
    host, port = through(url)
    end, why = time.monotonic() + CONNECT_S, "no address"
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        fail(f"the registry {name} does not answer: {host}: {error.strerror or error}")
    for family, kind, protocol, _, address in addresses:
        left = end - time.monotonic()
        if left <= 0:
            break
        with socket.socket(family, kind, protocol) as s:
            s.settimeout(min(left, CONNECT_S / 2))
            try:
                s.connect(address)
                return
            except OSError as error:
                why = error.strerror or str(error)
    fail(f"the registry {name} does not answer: no connection to {host} port {port} within {CONNECT_S} s ({why})")


def pip_install(requirements, *options):
    command = [sys.executable, "-m", "pip", "install", "--target", str(TARGET), "--no-input", "--disable-pip-version-check", "--no-warn-script-location",
               "--no-cache-dir", "--no-compile", "--progress-bar", "off", "--timeout", str(TIMEOUT_S), "--retries", "1", *options, "-r", str(requirements)]
    return subprocess.run(command, stdout=sys.stderr, stdin=subprocess.DEVNULL, cwd=requirements.parent).returncode


def install(requirements):
    links = [part for folder in os.environ.get("SKERRY_SOURCES", "").split() for part in ("--find-links", folder)]
    if links and pip_install(requirements, "--no-index", *links) == 0:
        return
    url = index_url()
    reach(url)
    if pip_install(requirements, *links) != 0:
        fail(f"pip could not install what {requirements.name} asks for (registry: {urllib.parse.urlsplit(url).hostname or url})")


def main():
    MANIFESTS.mkdir(parents=True)
    TARGET.mkdir(parents=True)
    read_manifests()
    requirements = requirements_file()
    if requirements:
        install(requirements)
        # Nobody edits a layer: bytecode that is not checked against the source's time starts faster.
        compileall.compile_dir(TARGET, quiet=2, workers=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, stripdir=str(TARGET),
                               prependdir=f"/usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}/dist-packages")
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        for path in sorted(TARGET.iterdir()):
            archive.add(path, arcname=path.name)


if __name__ == "__main__":
    main()
