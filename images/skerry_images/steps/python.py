"""CPython: bytecode of the standard library, which the package's maintainer script would compile."""
import pathlib

from .. import chroot
from ..npm_registry import NpmRegistry
from ..recipe import Recipe


def run(recipe: Recipe, root: pathlib.Path, registry: NpmRegistry) -> None:
    del recipe, registry
    # Hash-based and unchecked: valid whatever the unpacker does to file times, and the same bytes in every build.
    folders = ["/" + str(path.relative_to(root)) for path in sorted((root / "usr/lib").glob("python3*"))]
    chroot.run(root, ["python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *folders])
    # pip and venv create `python`; scripts and authors expect the name as well.
    if not (root / "usr/bin/python").exists():
        (root / "usr/bin/python").symlink_to("python3")
