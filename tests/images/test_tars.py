"""The tars themselves: nothing that the unpacker refuses, nothing that a function does not need, and what `current` says is true."""
import hashlib
import json
import os
import posixpath
import tarfile

import pytest

from skerry_images import recipe as recipes
from skerry_images.rootfs import FIXED_MTIME

NAMES = sorted(recipes.load_all())
RUN_IMAGES = [name for name in NAMES if not name.endswith("-build")]
PLAIN_FOLDERS = ["app", "dev", "home/fn", "proc", "run", "sys", "tmp"]


@pytest.fixture(scope="module", params=NAMES)
def image(request, store):
    """(name, current, entries by name in the order of the tar)"""
    current = json.loads((store / request.param / "current").read_text())
    with tarfile.open(store / request.param / f"{current['recipe']}.tar") as archive:
        return request.param, current, {entry.name: entry for entry in archive}


def test_every_recipe_has_an_image():
    assert set(RUN_IMAGES) >= {"python", "node", "go", "java"}
    assert set(NAMES) >= {f"{language}-build" for language in ("python", "node", "go", "java")}


def test_current_tells_the_truth(image, store):
    name, current, _ = image
    tar = store / name / f"{current['recipe']}.tar"
    with open(tar, "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == current["sha256"]
    assert tar.stat().st_size == current["size"]
    assert current["name"] == name and current["recipe"] == recipes.load_all()[name].digest
    assert current["format"] == 1


def test_versions_are_those_of_the_contract(store):
    versions = {name: json.loads((store / name / "current").read_text())["versions"] for name in NAMES}
    for name, language, start in (("python", "python", "3.11."), ("python313", "python", "3.13."), ("node", "node", "20."), ("node-build", "npm", "10."),
                                  ("go-build", "go", "1.24"), ("java", "java", "17."), ("java21", "java", "21."), ("java-build", "maven", "3.")):
        assert versions[name][language].startswith(start), (name, versions[name])


def test_only_files_folders_and_links(image):
    _, _, entries = image
    odd = [name for name, entry in entries.items() if not (entry.isreg() or entry.isdir() or entry.issym() or entry.islnk())]
    assert odd == []


def test_no_set_id_bits_and_nothing_world_writable_but_tmp(image):
    _, _, entries = image
    files = {name: entry for name, entry in entries.items() if not entry.issym()}
    assert [name for name, entry in files.items() if entry.mode & 0o6000] == []
    assert sorted(name for name, entry in files.items() if entry.mode & 0o002) == ["tmp", "var/tmp"]


def test_no_extended_attributes_or_capabilities(image):
    _, _, entries = image
    allowed = {"path", "linkpath"}
    assert [name for name, entry in entries.items() if set(entry.pax_headers) - allowed] == []


def test_no_name_and_no_link_leads_out(image):
    _, _, entries = image
    for name, entry in entries.items():
        assert not name.startswith("/") and ".." not in name.split("/") and name.isascii() and "\\" not in name, name
        if entry.issym():
            resolved = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.linkname))
            assert not entry.linkname.startswith("/") and resolved != ".." and not resolved.startswith("../"), (name, entry.linkname)


def test_no_entry_is_below_a_link(image):
    """An unpacker that walks names without following links must find folders all the way."""
    _, _, entries = image
    for name in entries:
        parent = posixpath.dirname(name)
        if parent:
            assert parent in entries and entries[parent].isdir(), name


def test_hard_links_point_at_earlier_files(image):
    _, _, entries = image
    seen: set[str] = set()
    for name, entry in entries.items():
        if entry.islnk():
            assert entry.linkname in seen and entries[entry.linkname].isreg(), name
        seen.add(name)


def test_sorted_numeric_and_of_one_time(image):
    _, _, entries = image
    assert list(entries) == sorted(entries, key=os.fsencode)
    assert {entry.mtime for entry in entries.values()} == {FIXED_MTIME}
    assert {(entry.uname, entry.gname) for entry in entries.values()} == {("", "")}
    owners = {name: (entry.uid, entry.gid) for name, entry in entries.items()}
    assert owners.pop("home/fn") == (1000, 1000)
    assert {owner for name, owner in owners.items() if not name.startswith("var/cache/go-build")} == {(0, 0)}


def test_mount_points_are_plain_and_empty(image):
    _, _, entries = image
    for folder in PLAIN_FOLDERS:
        assert entries[folder].isdir(), folder
        assert [name for name in entries if name.startswith(folder + "/")] == []
    assert entries["tmp"].mode == 0o1777
    assert entries["etc/resolv.conf"].isreg() and entries["etc/resolv.conf"].size == 0


@pytest.mark.parametrize("name", RUN_IMAGES)
def test_run_images_carry_no_package_manager_and_no_compiler(name, roots):
    root = roots(name).path
    unwanted = ("apt", "apt-get", "dpkg", "pip", "pip3", "npm", "gcc", "cc", "make", "javac", "go", "perl", "gpg", "mount", "su", "openssl", "curl", "wget")
    assert [program for program in unwanted if (root / "usr/bin" / program).exists() or (root / "usr/sbin" / program).exists()] == []
    for folder in ("var/lib/dpkg", "var/lib/apt", "etc/apt", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        assert not (root / folder).exists(), folder


def test_go_image_has_no_program_at_all(store):
    current = json.loads((store / "go/current").read_text())
    with tarfile.open(store / "go" / f"{current['recipe']}.tar") as archive:
        assert [entry.name for entry in archive if entry.isreg() and (entry.mode & 0o111 or archive.extractfile(entry).read(4) == b"\x7fELF")] == []


@pytest.mark.parametrize("name", NAMES)
def test_files_that_maintainer_scripts_would_make(name, roots):
    root = roots(name).path
    assert (root / "etc/passwd").read_text().splitlines()[:2] == ["root:x:0:0:root:/root:/sbin/nologin", "fn:x:1000:1000:function:/home/fn:/bin/sh"]
    assert (root / "etc/hosts").read_text().split()[:2] == ["127.0.0.1", "localhost"]
    assert "::1 localhost" in (root / "etc/hosts").read_text()
    assert "hosts: files dns" in (root / "etc/nsswitch.conf").read_text()
    assert os.readlink(root / "etc/localtime") == "../usr/share/zoneinfo/Etc/UTC"
    assert (root / "usr/share/zoneinfo/Etc/UTC").read_bytes().startswith(b"TZif")
    for link in ("bin", "sbin", "lib"):
        assert os.readlink(root / link) == f"usr/{link}"
    if name != "go":
        assert (root / "etc/ld.so.cache").stat().st_size > 0
        assert list((root / "usr/lib/locale").glob("C.[uU][tT][fF]*8")) != []


@pytest.mark.parametrize("name", [name for name in NAMES if name != "go"])
def test_programs_and_libraries_find_their_libraries(name, roots):
    """All that can be loaded resolves: a package left out too many is seen here and not by a user."""
    root = roots(name)
    loader = next((root.path / "usr/lib").glob("*/ld-linux-*.so.?")).relative_to(root.path)
    script = 'loader=$1; shift; for p; do echo "program $p"; "$loader" --list "$p" 2>&1; done; true'
    objects = [str(path.relative_to(root.path)) for path in sorted((root.path / "usr").rglob("*")) if is_loadable(path)]
    home = next((root.path / "usr/lib/jvm").glob("java-*-openjdk-*"), root.path / "usr/lib").relative_to(root.path)
    output = root.run("sh", "-c", script, "sh", f"/{loader}", *[f"/{path}" for path in objects], env={"LD_LIBRARY_PATH": f"/{home}/lib:/{home}/lib/server:/{home}/lib/jli"})
    assert output.count("program ") == len(objects) > 20
    missing, program = [], ""
    for line in output.splitlines():
        if line.startswith("program "):
            program = line.removeprefix("program ")
        elif "not found" in line or "cannot open shared object" in line:
            missing.append(f"{program}: {line.strip()}")
    assert missing == []


def is_loadable(path) -> bool:
    """A program, or a shared library that is no link to another."""
    if path.is_symlink() or not path.is_file() or "testdata" in path.parts or not (".so" in path.name or path.stat().st_mode & 0o111):
        return False
    with open(path, "rb") as file:
        head = file.read(18)
    return head[:4] == b"\x7fELF" and head[16] in (2, 3)
