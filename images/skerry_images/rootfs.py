"""Turns unpacked packages into a root that a sandbox can use: what maintainer scripts would have done, minus what no function needs."""
import os
import pathlib
import shutil
import stat
import subprocess

from . import certificates
from .errors import BuildError
from .recipe import Recipe

# One time for every file: the tar is then a function of its content alone. Not before 1980, which zip cannot express.
FIXED_MTIME = 1_704_067_200  # 2024-01-01T00:00:00Z
USER_ID = 1000

# Mount points and folders that sandboxd and the shims count on. Never symlinks: a mount follows one.
DIRECTORIES = {"app": 0o755, "dev": 0o755, "etc": 0o755, "home/fn": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755, "sys": 0o755,
               "tmp": 0o1777, "var/tmp": 0o1777, "var/cache": 0o755, "var/lib": 0o755, "var/log": 0o755}

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\nfn:x:1000:1000:function:/home/fn:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    "etc/group": "root:x:0:\nfn:x:1000:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    "etc/hostname": "localhost\n",
    # A mount target: the sandbox puts the location's resolver here.
    "etc/resolv.conf": "",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n",
    "etc/timezone": "Etc/UTC\n",
    "etc/host.conf": "multi on\n",
}


def finish(recipe: Recipe, root: pathlib.Path) -> None:
    """Everything that is the same for all languages; their steps run after it."""
    certificates.install(root)
    for pattern in recipe.remove:
        _remove(root, pattern)
    for name, mode in DIRECTORIES.items():
        _directory(root / name, mode)
    for name, content in FILES.items():
        path = root / name
        path.unlink(missing_ok=True)
        path.write_text(content)
        path.chmod(0o644)
    _link(root, "etc/localtime", "../usr/share/zoneinfo/Etc/UTC")
    for name, target in recipe.links.items():
        _link(root, name, target)
    (root / "etc/os-release").unlink(missing_ok=True)
    (root / "etc/os-release").write_text(f'ID=skerry\nID_LIKE=debian\nNAME="Skerry base image"\nPRETTY_NAME="Skerry {recipe.name} (Debian {recipe.suite})"\n'
                                         f"VERSION_CODENAME={recipe.suite}\nVARIANT_ID={recipe.name}\n")


def settle(recipe: Recipe, root: pathlib.Path) -> None:
    """After the steps: loader cache, modes, times. Nothing may be written after this."""
    if (root / "usr/lib").is_dir() and any((root / "usr/lib").glob("*/libc.so.6")):
        done = subprocess.run(["ldconfig", "-r", str(root)], capture_output=True, text=True)
        if done.returncode != 0:
            raise BuildError(f"ldconfig -r {root}: {done.stderr.strip()}")
    for name in ("var/cache/ldconfig", "etc/.pwd.lock"):
        _remove(root, name)
    for name in ("tmp", "run", "dev"):
        for leftover in (root / name).iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
    for folder, directories, files in os.walk(root):
        for name in directories + files:
            _settle_entry(root, pathlib.Path(folder, name))
    for name in ("usr/bin", "usr/sbin"):
        _remove_dangling(root / name)
    for name in ("home/fn", *recipe.owned_by_fn):
        _give(root / name)
    set_times(root)


def set_times(root: pathlib.Path) -> None:
    """Gives every file the time that it has in the tar. Java records times of its own files in its archive, so it needs them early."""
    for folder, directories, files in os.walk(root, topdown=False):
        for name in directories + files:
            os.utime(os.path.join(folder, name), (FIXED_MTIME, FIXED_MTIME), follow_symlinks=False)
    os.utime(root, (FIXED_MTIME, FIXED_MTIME))


def _settle_entry(root: pathlib.Path, path: pathlib.Path) -> None:
    os.chown(path, 0, 0, follow_symlinks=False)
    if path.is_symlink():
        target = os.readlink(path)
        if target.startswith("/"):
            # A relative link means the same inside, and on the host it cannot lead a careless tool to the host's own file.
            relative = os.path.relpath(root / target.lstrip("/"), path.parent)
            path.unlink()
            path.symlink_to(relative)
        return
    mode = stat.S_IMODE(path.lstat().st_mode)
    # SECURITY: no set-uid or set-gid program, which would be the first step of an escalation, and nothing that all may write but /tmp.
    wanted = mode if mode == 0o1777 and path.is_dir() else mode & 0o755
    wanted |= 0o555 if path.is_dir() and path != root / "root" else 0o400
    if wanted != mode:
        path.chmod(wanted)


def _remove_dangling(folder: pathlib.Path) -> None:
    """Removes links to programs that the recipe left out, so that a missing program is "not found" and not a riddle."""
    for link in folder.iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink()


def _give(top: pathlib.Path) -> None:
    """Makes a folder and all in it the property of fn."""
    os.chown(top, USER_ID, USER_ID)
    for folder, directories, files in os.walk(top):
        for name in directories + files:
            os.chown(os.path.join(folder, name), USER_ID, USER_ID, follow_symlinks=False)


def _directory(path: pathlib.Path, mode: int) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)


def _link(root: pathlib.Path, name: str, target: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        path.unlink()
    path.symlink_to(target)


def _remove(root: pathlib.Path, pattern: str) -> None:
    for path in root.glob(pattern):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
