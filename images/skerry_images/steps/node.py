"""Node.js: the program of the pinned npm package, and nothing else of it."""
import pathlib
import tarfile

from .. import chroot
from ..errors import BuildError
from ..npm_registry import NpmRegistry
from ..recipe import Recipe

PROBE = "import('node:fs').then((fs) => console.log(typeof fs.readFileSync, typeof fetch, process.versions.node))"


def run(recipe: Recipe, root: pathlib.Path, registry: NpmRegistry) -> None:
    pin = recipe.pins["node"]
    with tarfile.open(registry.tarball(pin, recipe.pins["npm"], recipe.arch)) as package:
        program = package.extractfile("package/bin/node")
        (root / "usr/bin/node").write_bytes(program.read())
    (root / "usr/bin/node").chmod(0o755)
    output = chroot.run(root, ["node", "-e", PROBE]).strip()
    if output != f"function function {pin['version']}":
        raise BuildError(f"node inside the image printed {output[:500]!r}")
