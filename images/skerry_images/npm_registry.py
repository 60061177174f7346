"""Fetches pinned packages from the npm registry with npm itself, configured as the machine's npm is.

A fresh machine has no npm, and Debian's is 400 packages. So the first fetch unpacks Debian's nodejs and corepack into a root of its
own (recipes/npm-client.toml), where corepack brings the pinned npm, and npm the rest. What arrived is kept in the cache folder and
believed only if its hash is the pinned one.
"""
import base64
import hashlib
import os
import pathlib
import re
import shutil
import threading

from . import bootstrap, chroot, recipe as recipes, rootfs
from .errors import BuildError
from .store import Store

COREPACK = "/usr/share/nodejs/corepack/dist/corepack.js"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class NpmRegistry:
    """One for a run; images that build at the same time share it."""

    def __init__(self, store: Store):
        self._store = store
        self._lock = threading.Lock()
        self._client: pathlib.Path | None = None

    def tarball(self, pin: dict, npm_pin: dict, arch: str) -> pathlib.Path:
        """The .tgz of the package that `pin` names for `arch`; `npm_pin` is the npm that fetches it."""
        package, integrity = _of(pin, "package", arch), _of(pin, "integrity", arch)
        path = self._store.cache("npm") / f"{package}-{pin['version']}.tgz"
        with self._lock:
            if not path.exists() or _integrity(path) != integrity:
                self._fetch(package, pin["version"], npm_pin, path)
        found = _integrity(path)
        if found != integrity:
            path.unlink()
            raise BuildError(f"{package}@{pin['version']} has integrity {found}, pins.toml says {integrity}")
        return path

    def _fetch(self, package: str, version: str, npm_pin: dict, target: pathlib.Path) -> None:
        if self._client is None:
            self._client = self._unpack_client()
        client = self._client
        spec = f"{package}@{version}"
        argv = ["node", COREPACK, f"npm@{npm_pin['version']}+{_corepack_hash(npm_pin)}", "pack", "--silent", "--pack-destination=/root", spec]
        chroot.run(client, argv, online=True, environment=_environment())
        name = f"{package}-{version}.tgz"
        if not (client / "root" / name).is_file():
            raise BuildError(f"npm pack {spec} left no {name}")
        shutil.move(client / "root" / name, target)

    def _unpack_client(self) -> pathlib.Path:
        client = recipes.load_part("npm-client")
        root = bootstrap.unpack(client, self._store.cache(client.suite), self._store.work(client.name))
        rootfs.finish(client, root)
        return root


def _of(pin: dict, key: str, arch: str) -> str:
    value = pin[key].get(arch) or pin[key].get("all")
    if value is None:
        raise BuildError(f"pins.toml has no {key} for architecture {arch}")
    return value


def _integrity(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()


def _corepack_hash(npm_pin: dict) -> str:
    return "sha512." + base64.b64decode(_of(npm_pin, "integrity", "all").removeprefix("sha512-")).hex()


def _environment() -> dict[str, str]:
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"COREPACK_HOME": "/root/corepack", "NODE_EXTRA_CA_CERTS": CA_BUNDLE, "npm_config_cache": "/root/npm",
                    "npm_config_update_notifier": "false", "COREPACK_ENABLE_PROJECT_SPEC": "0"}
    registry = _registry()
    if registry:
        environment |= {"COREPACK_NPM_REGISTRY": registry, "npm_config_registry": registry}
    return environment


def _registry() -> str:
    """The registry of the machine's npm configuration; empty for npm's own default."""
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if os.environ.get(name):
            return os.environ[name].rstrip("/")
    for path in (pathlib.Path.home() / ".npmrc", pathlib.Path("/etc/npmrc"), pathlib.Path("/usr/etc/npmrc")):
        try:
            match = re.search(r"^\s*registry\s*=\s*(\S+)", path.read_text(errors="replace"), re.M)
        except OSError:
            continue
        if match:
            return match[1].strip("\"'").rstrip("/")
    return ""
