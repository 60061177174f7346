"""npm, and the headers with which its node-gyp builds native addons without asking another site for them."""
import pathlib
import tarfile

from ..errors import BuildError
from ..npm_registry import NpmRegistry
from ..recipe import Recipe

HOME = "usr/lib/node_modules/npm"
LEFT_OUT = ("docs/", "man/")
# OpenSSL's headers for 40 other platforms are most of the package's files; addons include the generic ones.
OTHER_PLATFORMS = "include/node/openssl/archs/"
OWN_PLATFORM = {"amd64": "linux-x86_64", "arm64": "linux-aarch64"}


def run(recipe: Recipe, root: pathlib.Path, registry: NpmRegistry) -> None:
    npm_pin = recipe.pins["npm"]
    _extract(registry.tarball(npm_pin, npm_pin, recipe.arch), root / HOME, lambda name: not name.startswith(LEFT_OUT))
    own = OTHER_PLATFORMS + OWN_PLATFORM[recipe.arch] + "/"
    _extract(registry.tarball(recipe.pins["node"], npm_pin, recipe.arch), root / "usr",
             lambda name: name.startswith("include/") and (not name.startswith(OTHER_PLATFORMS) or name.startswith(own)))
    for name in ("npm", "npx"):
        link = root / "usr/bin" / name
        link.symlink_to(f"../lib/node_modules/npm/bin/{name}-cli.js")
    (root / "usr/etc").mkdir(exist_ok=True)
    (root / "usr/etc/npmrc").write_text("nodedir=/usr\nupdate-notifier=false\nfund=false\naudit=false\n")


def _extract(tarball: pathlib.Path, target: pathlib.Path, wanted) -> None:
    """Writes the regular files of a package for which `wanted(name)` holds, without the leading `package/`."""
    with tarfile.open(tarball) as package:
        for entry in package:
            name = entry.name.partition("/")[2]
            if not entry.isfile() or not wanted(name):
                continue
            # SECURITY: the tarball's hash is pinned, and still no name of it may climb out of the target.
            if ".." in name.split("/") or name.startswith("/"):
                raise BuildError(f"{tarball.name}: {entry.name} leads out")
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(package.extractfile(entry).read())
            path.chmod(0o755 if entry.mode & 0o111 else 0o644)
