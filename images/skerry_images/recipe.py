"""Recipes: what an image is made of, and the digest that names the result.

A recipe is a TOML file. `extends` names one recipe or several; lists are appended, tables merged, single values overridden.
Nothing outside images/ and the machine's architecture goes into a digest, so two machines agree on it.
"""
import dataclasses
import hashlib
import pathlib
import subprocess
import tomllib

from .errors import BuildError

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST_KEYS = ("packages", "omit", "without", "allow", "remove", "steps", "owned_by_fn")
TABLE_KEYS = ("links", "versions")
KEYS = {"extends", "abstract", "suite", *LIST_KEYS, *TABLE_KEYS}

# Which tables of pins.toml a step reads.
STEP_PINS = {"node": ("node", "npm"), "npm": ("node", "npm")}

# Modules that decide what is in an image. Store, lock and command line are not among them: they may change without a rebuild.
SHARED_MODULES = ("bootstrap.py", "seed", "certificates.py", "rootfs.py", "chroot.py", "pack.py")


@dataclasses.dataclass(frozen=True)
class Recipe:
    name: str
    suite: str
    arch: str
    packages: tuple[str, ...]
    without: tuple[str, ...]
    remove: tuple[str, ...]
    steps: tuple[str, ...]
    owned_by_fn: tuple[str, ...]
    links: dict[str, str]
    versions: dict[str, list[str]]
    pins: dict
    digest: str


def architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()


def load_all(root: pathlib.Path = ROOT) -> dict[str, Recipe]:
    """Every recipe that is an image (not abstract), by name."""
    pins, arch = _pins(root), architecture()
    merged = {path.stem: _merge(root, path.stem, ()) for path in sorted((root / "recipes").glob("*.toml"))}
    return {name: _finish(root, name, one, pins, arch) for name, one in merged.items() if not one["abstract"]}


def load_part(name: str, root: pathlib.Path = ROOT) -> Recipe:
    """An abstract recipe that names a suite: a root that the build itself needs."""
    return _finish(root, name, _merge(root, name, ()), _pins(root), architecture())


def _pins(root: pathlib.Path) -> dict:
    try:
        with open(root / "pins.toml", "rb") as file:
            return tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BuildError(f"pins.toml: {error}") from error


def _read(root: pathlib.Path, name: str) -> dict:
    path = root / "recipes" / f"{name}.toml"
    try:
        with open(path, "rb") as file:
            recipe = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BuildError(f"recipe {name}: {error}") from error
    unknown = sorted(set(recipe) - KEYS)
    if unknown:
        raise BuildError(f"recipe {name}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(KEYS))}")
    return recipe


def _merge(root: pathlib.Path, name: str, below: tuple[str, ...]) -> dict:
    """The recipe with all that it extends. `files` collects the recipe files read, for the digest."""
    if name in below:
        raise BuildError(f"recipe {name} extends itself: {' -> '.join((*below, name))}")
    own = _read(root, name)
    merged = {key: [] for key in LIST_KEYS} | {key: {} for key in TABLE_KEYS} | {"suite": "", "files": []}
    parents = own.get("extends", [])
    for parent in [parents] if isinstance(parents, str) else parents:
        inherited = _merge(root, parent, (*below, name))
        for key in (*LIST_KEYS, "files"):
            merged[key] += [item for item in inherited[key] if item not in merged[key]]
        for key in TABLE_KEYS:
            merged[key] |= inherited[key]
        merged["suite"] = inherited["suite"] or merged["suite"]
    for key in LIST_KEYS:
        merged[key] += [item for item in own.get(key, []) if item not in merged[key]]
    for key in TABLE_KEYS:
        merged[key] |= own.get(key, {})
    merged["suite"] = own.get("suite", merged["suite"])
    merged["abstract"] = own.get("abstract", False)
    merged["files"].append(name)
    return merged


def _finish(root: pathlib.Path, name: str, merged: dict, pins: dict, arch: str) -> Recipe:
    suite = merged["suite"]
    if suite not in pins["suite"]:
        raise BuildError(f"recipe {name}: suite {suite!r} is not pinned in pins.toml")
    used_pins = {"suite": {suite: pins["suite"][suite]}}
    for step in merged["steps"]:
        for pin in STEP_PINS.get(step, ()):
            used_pins[pin] = pins[pin]
    return Recipe(
        name=name, suite=suite, arch=arch,
        packages=tuple(item for item in merged["packages"] if item not in merged["omit"]),
        without=tuple(item for item in merged["without"] if item not in merged["allow"]),
        remove=tuple(merged["remove"]), steps=tuple(merged["steps"]), owned_by_fn=tuple(merged["owned_by_fn"]),
        links=merged["links"], versions=merged["versions"],
        pins=used_pins, digest=_digest(root, merged, used_pins, arch))


def _digest(root: pathlib.Path, merged: dict, pins: dict, arch: str) -> str:
    """sha256 over the recipe files, the scripts that they use, the pins that they use and the architecture."""
    inputs = [root / "recipes" / f"{name}.toml" for name in sorted(merged["files"])]
    inputs += [root / "skerry_images" / name for name in SHARED_MODULES]
    inputs += [root / "skerry_images" / "steps" / f"{step}.py" for step in merged["steps"]]
    state = hashlib.sha256(f"skerry image 1\narch {arch}\n".encode())
    for path in inputs:
        content = path.read_bytes()
        state.update(f"file {path.relative_to(root)} {len(content)}\n".encode() + content)
    for table, value in sorted(pins.items()):
        state.update(f"pin {table} {value!r}\n".encode())
    return state.hexdigest()
