"""Builds one image, from recipe to published tar."""
import importlib
import pathlib
import re
import shutil
import time

from . import bootstrap, chroot, pack, rootfs
from .errors import BuildError
from .npm_registry import NpmRegistry
from .recipe import Recipe
from .store import Store


def build(recipe: Recipe, store: Store, registry: NpmRegistry) -> tuple[float, int]:
    """Returns the seconds it took and the size of the tar."""
    started = time.monotonic()
    work = store.work(recipe.name)
    root = bootstrap.unpack(recipe, store.cache(recipe.suite), work)
    rootfs.finish(recipe, root)
    for step in recipe.steps:
        importlib.import_module(f".steps.{step}", __package__).run(recipe, root, registry)
    versions = {language: _version(root, language, command) for language, command in recipe.versions.items()}
    rootfs.settle(recipe, root)
    sha256, size = pack.write(root, store.tar_in_progress(recipe))
    packages = sorted((work / "resolved").read_text().splitlines())
    store.publish(recipe, sha256, size, versions, packages)
    shutil.rmtree(work)
    return time.monotonic() - started, size


def _version(root: pathlib.Path, language: str, command: list[str]) -> str:
    output = chroot.run(root, command)
    match = re.search(r"\d+\.\d+(\.\d+)*", output)
    if not match:
        raise BuildError(f"{language}: {' '.join(command)} printed no version: {output[:300]!r}")
    return match[0]
