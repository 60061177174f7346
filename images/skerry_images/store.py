"""The image folder: where tars and `current` files are, one writer at a time, and nothing half done in sight.

    DIR/<name>/<recipe digest>.tar   the image; appears by rename when it is whole and on disk
    DIR/<name>/current               JSON that names it; replaced by rename after the tar
    DIR/cache/<suite>/               package lists and packages; may be deleted at any time
    DIR/work/                        one folder for each image being built; emptied at the start of a run
"""
import contextlib
import fcntl
import json
import os
import pathlib
import shutil

from .errors import BuildError
from .recipe import Recipe

FORMAT = 1


class Store:
    def __init__(self, root: pathlib.Path):
        self.root = root

    @contextlib.contextmanager
    def writer(self, waiting):
        """Holds the folder for this run. The kernel drops the lock with the process, however that ends."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = open(self.root / ".lock", "w")
        except OSError as error:
            raise BuildError(f"{self.root}: {error.strerror}; give another folder with --out or SKERRY_IMAGES") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._sweep()
            yield
            shutil.rmtree(self.root / "work", ignore_errors=True)

    def _sweep(self) -> None:
        """Removes what a killed run left."""
        shutil.rmtree(self.root / "work", ignore_errors=True)
        for leftover in self.root.glob("*/.*.tmp"):
            leftover.unlink()

    def current(self, name: str) -> dict | None:
        """What `current` says, if the tar that it names is there in full."""
        try:
            value = json.loads((self.root / name / "current").read_text())
            size = (self.root / name / f"{value['recipe']}.tar").stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return value if value.get("format") == FORMAT and size == value.get("size") else None

    def is_current(self, recipe: Recipe) -> bool:
        value = self.current(recipe.name)
        return value is not None and value["recipe"] == recipe.digest

    def work(self, name: str) -> pathlib.Path:
        path = self.root / "work" / name
        path.mkdir(parents=True)
        return path

    def cache(self, suite: str) -> pathlib.Path:
        path = self.root / "cache" / suite
        path.mkdir(parents=True, exist_ok=True)
        return path

    def tar_in_progress(self, recipe: Recipe) -> pathlib.Path:
        (self.root / recipe.name).mkdir(exist_ok=True)
        return self.root / recipe.name / f".{recipe.digest}.tar.tmp"

    def publish(self, recipe: Recipe, sha256: str, size: int, versions: dict[str, str], packages: list[str]) -> None:
        """Makes the finished tar visible, then `current`: a reader sees the old image or the new one, never a mixture."""
        folder = self.root / recipe.name
        self.tar_in_progress(recipe).rename(folder / f"{recipe.digest}.tar")
        _replace(folder, f"{recipe.digest}.packages", "".join(line + "\n" for line in packages))
        _sync_folder(folder)
        value = {"format": FORMAT, "name": recipe.name, "recipe": recipe.digest, "sha256": sha256, "size": size, "suite": recipe.suite,
                 "arch": recipe.arch, "versions": versions}
        _replace(folder, "current", json.dumps(value, indent=1) + "\n")
        _sync_folder(folder)

    def prune(self) -> int:
        """Deletes images that no `current` names; returns the bytes given back."""
        freed = 0
        for folder in self.root.iterdir():
            value = self.current(folder.name)
            if value is None:
                continue
            for path in (*folder.glob("*.tar"), *folder.glob("*.packages")):
                if path.stem != value["recipe"]:
                    freed += path.stat().st_size
                    path.unlink()
        return freed


def _replace(folder: pathlib.Path, name: str, content: str) -> None:
    temporary = folder / f".{name}.tmp"
    with open(temporary, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / name)


def _sync_folder(folder: pathlib.Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
