"""Recipes and their digests, and reading the machine's apt configuration."""
import re
import shutil

import pytest
from conftest import IMAGES

from skerry_images import apt_source, recipe as recipes
from skerry_images.errors import BuildError


@pytest.fixture
def copy(tmp_path):
    target = tmp_path / "images"
    shutil.copytree(IMAGES, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def digests(root):
    return {name: one.digest for name, one in recipes.load_all(root).items()}


def changed(before, root):
    after = digests(root)
    return {name for name in after if after[name] != before.get(name)}


def test_digest_depends_on_content_and_not_on_place(copy):
    assert digests(copy) == digests(IMAGES)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests(copy).values())
    assert len(set(digests(copy).values())) == len(digests(copy))


def test_a_recipe_changes_itself_and_what_extends_it(copy):
    before = digests(copy)
    with open(copy / "recipes/python.toml", "a") as file:
        file.write("# touched\n")
    assert changed(before, copy) == {"python", "python-build", "python313", "python313-build"}


def test_a_step_changes_the_images_that_use_it(copy):
    before = digests(copy)
    with open(copy / "skerry_images/steps/java.py", "a") as file:
        file.write("# touched\n")
    assert changed(before, copy) == {"java", "java-build", "java21", "java21-build"}


def test_a_suite_pin_changes_the_images_of_that_suite(copy):
    before = digests(copy)
    pins = (copy / "pins.toml").read_text()
    (copy / "pins.toml").write_text(pins.replace("[suite.bookworm]\nrefresh = 1", "[suite.bookworm]\nrefresh = 2"))
    assert changed(before, copy) == {name for name, one in recipes.load_all(copy).items() if one.suite == "bookworm"}


def test_a_shared_script_changes_all_and_the_command_line_none(copy):
    before = digests(copy)
    with open(copy / "build", "a") as file:
        file.write("# touched\n")
    assert changed(before, copy) == set()
    with open(copy / "skerry_images/pack.py", "a") as file:
        file.write("# touched\n")
    assert changed(before, copy) == set(before)


@pytest.mark.parametrize(("text", "said"), [('packagse = ["x"]\nsuite = "trixie"\n', "unknown key packagse"), ('suite = "stable"\n', "'stable' is not pinned"),
                                            ('extends = "odd"\nsuite = "trixie"\n', "extends itself: odd -> odd"), ("suite = \n", "recipe odd: ")])
def test_a_wrong_recipe_is_named(copy, text, said):
    (copy / "recipes/odd.toml").write_text(text)
    with pytest.raises(BuildError, match=re.escape(said)):
        recipes.load_all(copy)


def test_no_host_of_a_registry_is_in_the_tree():
    for path in IMAGES.rglob("*"):
        if path.is_file():
            assert not re.search(rb"[a-z]+\.(debian|npmjs|golang|nodejs|nodesource)\.(org|com|net)\b", path.read_bytes()), path


ONE_LINE = """# a comment
deb [arch=amd64 signed-by=/x.gpg] http://third.example/apt bookworm-pgdg main
deb http://nginx.example/debian bookworm nginx
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm main contrib # trailing
deb http://security.example/debian-security bookworm-security main
"""
DEB822 = """Types: deb deb-src
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

# a mirror list, as cloud images have it
Types: deb
URIs: mirror+file:///etc/apt/mirrors/debian.list
Suites: bookworm bookworm-updates
  bookworm-backports
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 xyz: abc

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main
"""


@pytest.mark.parametrize(("kind", "text", "mirror"), [("_one_line", ONE_LINE, "http://mirror.example/debian"), ("_deb822", DEB822, "mirror+file:///etc/apt/mirrors/debian.list")])
def test_the_machines_mirror_is_used_for_every_suite(monkeypatch, kind, text, mirror):
    monkeypatch.setattr(apt_source, "entries", lambda: getattr(apt_source, kind)(text))
    option = f"deb [signed-by={apt_source.KEYRING}]"
    assert apt_source.sources_for("trixie").splitlines() == [f"{option} {mirror} trixie main", f"{option} {mirror} trixie-updates main",
                                                             f"{option} http://security.example/debian-security trixie-security main"]


def test_a_machine_without_a_debian_mirror_is_told_so(monkeypatch):
    monkeypatch.setattr(apt_source, "entries", lambda: [("cdrom:[Debian]/", "bookworm", ["main"]), ("http://third.example", "bookworm-pgdg", ["main"])])
    with pytest.raises(BuildError, match="no Debian mirror"):
        apt_source.sources_for("trixie")


def test_proxy_and_certificates_of_apt_are_taken_over_and_no_paths(monkeypatch, tmp_path):
    (tmp_path / "apt.conf").write_text('Acquire::http::Proxy "http://proxy.example:3128";\nAcquire::https::CAInfo "/x.pem";\nDir::Cache "/elsewhere";\nAcquire::Languages "de";\n')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    options = apt_source.acquire_options().splitlines()
    assert 'Acquire::http::Proxy "http://proxy.example:3128";' in options and 'Acquire::https::CAInfo "/x.pem";' in options
    assert [line for line in options if not line.startswith("Acquire::") or "Languages" in line] == []
