"""npm: its own release, fetched by corepack from the registry that the machine's npm configuration names."""
import os
import pathlib
import re
import shutil

from .. import chroot
from ..errors import BuildError
from ..recipe import Recipe

HOME = "usr/lib/node_modules"
PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def run(recipe: Recipe, root: pathlib.Path) -> None:
    version = recipe.pins["npm"]["version"]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"COREPACK_HOME": "/tmp/corepack", "NODE_EXTRA_CA_CERTS": "/etc/ssl/certs/ca-certificates.crt", "COREPACK_ENABLE_STRICT": "0"}
    registry = _registry()
    if registry:
        environment["COREPACK_NPM_REGISTRY"] = registry
    chroot.run(root, ["node", "/usr/share/nodejs/corepack/dist/corepack.js", "prepare", f"npm@{version}"], online=True, environment=environment)
    fetched = next((root / "tmp/corepack").glob(f"**/npm/{version}"), None)
    if fetched is None:
        raise BuildError(f"corepack fetched npm@{version}, but left no npm/{version} folder")
    target = root / HOME / "npm"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(fetched, target, symlinks=True)
    for folder in ("docs", "man"):
        shutil.rmtree(target / folder, ignore_errors=True)
    for name in ("npm", "npx"):
        link = root / "usr/bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(f"../lib/node_modules/npm/bin/{name}-cli.js")
    shutil.rmtree(root / "usr/share/nodejs/corepack")
    for link in (root / "usr/bin").iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink() if "corepack" in os.readlink(link) else None


def _registry() -> str:
    """The registry of the machine's npm configuration; empty for npm's default."""
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY", "COREPACK_NPM_REGISTRY"):
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
