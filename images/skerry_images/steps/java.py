"""OpenJDK: trust store, commands in /usr/bin, preferences folders, and class archives that are valid in the packed image."""
import pathlib

from .. import certificates, chroot, rootfs
from ..errors import BuildError
from ..npm_registry import NpmRegistry
from ..recipe import Recipe


def run(recipe: Recipe, root: pathlib.Path, registry: NpmRegistry) -> None:
    del recipe, registry
    certificates.write_java_keystore(root)
    home = _home(root)
    for command in sorted((home / "bin").iterdir()):
        link = root / "usr/bin" / command.name
        if not link.is_symlink() and not link.exists():
            link.symlink_to(f"../lib/jvm/{home.name}/bin/{command.name}")
    default = home.parent / "default-java"
    if not default.is_symlink():
        default.symlink_to(home.name)
    for name in ("etc/.java", "etc/.java/.systemPrefs"):
        (root / name).mkdir(mode=0o755, exist_ok=True)
    for name in (".system.lock", ".systemRootModFile"):
        (root / "etc/.java/.systemPrefs" / name).touch()
    _class_archives(root, home)


def _class_archives(root: pathlib.Path, home: pathlib.Path) -> None:
    """Keeps the shipped archives if they are valid with the times that the tar will carry, else dumps them anew."""
    rootfs.set_times(root)
    probe = ["java", "-Xshare:on", "-version"]
    try:
        chroot.run(root, probe)
    except BuildError:
        for options in ([], ["-XX:-UseCompressedOops"]):
            chroot.run(root, ["java", *options, "-Xshare:dump"])
        chroot.run(root, probe)
    if not (home / "lib/server/classes.jsa").is_file():
        raise BuildError(f"/{home.relative_to(root)}/lib/server/classes.jsa is missing: every start of Java would be slow")


def _home(root: pathlib.Path) -> pathlib.Path:
    homes = [path.parent.parent for path in (root / "usr/lib/jvm").glob("*/bin/java") if not path.parent.parent.is_symlink()]
    if len(homes) != 1:
        raise BuildError(f"expected one Java in /usr/lib/jvm, found {[path.name for path in homes]}")
    return homes[0]
