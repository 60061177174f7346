"""Go: the toolchain keeps to what is in the image unless a project's go.mod asks for another."""
import pathlib

from ..npm_registry import NpmRegistry
from ..recipe import Recipe


def run(recipe: Recipe, root: pathlib.Path, registry: NpmRegistry) -> None:
    del recipe, registry
    goroot = next((root / "usr/lib").glob("go-*"))
    link = root / "usr/bin/go"
    if not link.exists():
        link.symlink_to(f"../lib/{goroot.name}/bin/go")
