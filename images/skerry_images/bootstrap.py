"""Runs mmdebstrap: packages of a pinned suite, unpacked into an empty root without running a maintainer script.

Package lists are fetched once a suite and run, downloaded packages are kept in the cache folder: an image of a suite whose
packages are there needs no network.
"""
import pathlib
import shlex
import shutil
import subprocess

from . import apt_source
from .chroot import contained
from .errors import BuildError
from .recipe import Recipe

SEED = pathlib.Path(__file__).resolve().parent / "seed"
LIST_TIMEOUT_S = 300
IMAGE_TIMEOUT_S = 900
LIB64_ARCHITECTURES = {"amd64", "ppc64", "loong64"}


def fetch_lists(suite: str, cache: pathlib.Path, work: pathlib.Path) -> str:
    """Replaces the cached package lists of `suite` by the mirror's present ones; returns a warning if it uses older ones instead."""
    root = work / "root"
    lists = cache / "lists"
    (cache / "archives").mkdir(parents=True, exist_ok=True)
    try:
        _mmdebstrap(suite, work, ["--variant=custom", "--skip=cleanup/apt/lists"], root, LIST_TIMEOUT_S)
    except BuildError as error:
        if not lists.is_dir():
            raise
        return f"the mirror of {suite} did not answer, taking the package lists fetched before\n{error}"
    if lists.is_dir():
        shutil.rmtree(lists)
    (root / "var/lib/apt/lists").rename(lists)
    return ""


def unpack(recipe: Recipe, cache: pathlib.Path, work: pathlib.Path) -> pathlib.Path:
    """Makes the root of an image and returns it; `work/resolved` then lists the packages in it."""
    root = work / "root"
    (work / "packages").write_text("\n".join(recipe.packages) + "\n")
    (work / "lib64").write_text("lib64\n" if recipe.arch in LIB64_ARCHITECTURES else "")
    (work / "status").write_text("".join(_claimed(name) for name in recipe.without))
    seed = shlex.join([str(SEED), str(cache), str(work)])
    keep = f'cp -aln "$1"/var/cache/apt/archives/*.deb {shlex.quote(str(cache / "archives"))}/'
    _mmdebstrap(recipe.suite, work, [
        "--variant=extract", "--skip=update,chroot/mount", "--include=" + ",".join(recipe.packages),
        f'--setup-hook={seed} "$1"', f"--extract-hook={keep}"], root, IMAGE_TIMEOUT_S)
    return root


def _claimed(package: str) -> str:
    """A status stanza that makes apt believe `package` to be there, so that nothing pulls it in."""
    provides = "Provides: debconf-2.0\n" if package == "debconf" else ""
    return (f"Package: {package}\nStatus: install ok installed\nVersion: 999:1\nArchitecture: all\nMulti-Arch: foreign\n"
            f"Maintainer: none <none@invalid>\n{provides}Description: left out by the recipe\n\n")


def _mmdebstrap(suite: str, work: pathlib.Path, options: list[str], root: pathlib.Path, timeout_s: int) -> None:
    (work / "sources.list").write_text(apt_source.sources_for(suite))
    (work / "apt.conf").write_text(apt_source.acquire_options())
    command = ["mmdebstrap", "--mode=root", "--format=directory", f"--aptopt={work / 'apt.conf'}", *options,
               suite, str(root), str(work / "sources.list")]
    log = work / "mmdebstrap.log"
    with open(log, "wb") as output:
        try:
            status = subprocess.run(contained(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=timeout_s).returncode
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"mmdebstrap {suite}: no result within {timeout_s} s\n{_tail(log)}") from error
        except FileNotFoundError as error:
            raise BuildError(f"{error.filename} is not installed: apt install mmdebstrap util-linux") from error
    if status != 0:
        raise BuildError(f"mmdebstrap {suite} ended with status {status}\n{_tail(log)}")


def _tail(log: pathlib.Path, lines: int = 15) -> str:
    return "\n".join("    " + line for line in log.read_text(errors="replace").splitlines()[-lines:])
