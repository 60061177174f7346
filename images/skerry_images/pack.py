"""Writes a root as the tar that the unpacker takes, and refuses to write what the unpacker would refuse to read.

Plain ustar where names allow it (pax headers only for names past its limits), sorted by bytes, numeric owners, one mtime. The
unpacker must set that mtime: Java's class archive is valid only beside a `modules` file of the recorded time.
"""
import hashlib
import os
import pathlib
import stat
import tarfile

from .errors import BuildError
from .rootfs import DIRECTORIES, FIXED_MTIME

WRITE_CHUNK = 1 << 20


class _Hashing:
    """A write-only file that hashes what passes."""

    def __init__(self, file):
        self.file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> int:
        self.hash.update(chunk)
        self.size += len(chunk)
        return self.file.write(chunk)


def write(root: pathlib.Path, target: pathlib.Path) -> tuple[str, int]:
    """Writes `target` durably and returns its sha256 and size."""
    _check_directories(root)
    with open(target, "wb", buffering=WRITE_CHUNK) as file:
        output = _Hashing(file)
        with tarfile.open(fileobj=output, mode="w|", format=tarfile.PAX_FORMAT, bufsize=WRITE_CHUNK) as archive:
            first_names: dict[tuple[int, int], str] = {}
            for name in _names(root):
                _add(archive, root, name, first_names)
        file.flush()
        os.fsync(file.fileno())
    return output.hash.hexdigest(), output.size


def _names(root: pathlib.Path) -> list[str]:
    names = []
    for folder, directories, files in os.walk(root):
        base = os.path.relpath(folder, root)
        names += [os.path.normpath(os.path.join(base, name)) for name in directories + files]
    return sorted(names, key=os.fsencode)


def _add(archive: tarfile.TarFile, root: pathlib.Path, name: str, first_names: dict[tuple[int, int], str]) -> None:
    path = root / name
    status = path.lstat()
    if not name.isascii():
        raise BuildError(f"{name!a}: only ASCII names go into an image; remove the file in the recipe")
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        raise BuildError(f"/{name} is a device, socket or pipe; an image has files, folders and links only")
    if not stat.S_ISLNK(status.st_mode) and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise BuildError(f"/{name} is set-uid or set-gid")
    if os.listxattr(path, follow_symlinks=False):
        raise BuildError(f"/{name} has extended attributes {os.listxattr(path, follow_symlinks=False)}")
    entry = tarfile.TarInfo(name)
    entry.mode, entry.uid, entry.gid, entry.mtime = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, FIXED_MTIME
    if stat.S_ISDIR(status.st_mode):
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    elif stat.S_ISLNK(status.st_mode):
        entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, os.readlink(path)
        _check_symlink(name, entry.linkname)
        archive.addfile(entry)
    elif status.st_nlink > 1 and (status.st_dev, status.st_ino) in first_names:
        entry.type, entry.linkname = tarfile.LNKTYPE, first_names[status.st_dev, status.st_ino]
        archive.addfile(entry)
    else:
        first_names[status.st_dev, status.st_ino] = name
        entry.size = status.st_size
        with open(path, "rb") as content:
            archive.addfile(entry, content)


def _check_symlink(name: str, target: str) -> None:
    resolved = os.path.normpath(os.path.join(os.path.dirname(name), target))
    if target.startswith("/") or resolved == ".." or resolved.startswith("../"):
        raise BuildError(f"/{name} -> {target} leads out of the image")


def _check_directories(root: pathlib.Path) -> None:
    for name in DIRECTORIES:
        if (root / name).is_symlink() or not (root / name).is_dir():
            raise BuildError(f"/{name} is not a plain folder")
    for name in ("dev", "proc", "sys", "tmp", "run"):
        if any((root / name).iterdir()):
            raise BuildError(f"/{name} is not empty")
