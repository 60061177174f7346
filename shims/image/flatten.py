"""The stage `build` of an image: an OCI layout (or what `docker save` writes) below /app becomes one tar of the whole root on standard output. See README.md."""
import errno
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import posixpath
import shutil
import stat
import sys
import tarfile
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import zstd  # noqa: E402

UPLOAD = pathlib.Path(os.environ.get("SKERRY_SRC", "/app"))
SCRATCH = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / "layout"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
MAX_JSON = 4 << 20
MAX_LAYERS = 128
MAX_INDEX_DEPTH = 4
MAX_LAYER_UNPACKED = 2 << 30  # a layer is no larger than a whole revision may be, nor has it more files
MAX_ROOT_BYTES = 2 << 30
MAX_FILES = 300_000
MAX_NAME_BYTES = 1 << 20  # a tar has long names and their like in blocks of their own, which are read at once
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
RESERVED = ("SKERRY_", "K_", "PORT=", "HOME=", "USER=")


UNREADABLE = (OSError, tarfile.TarError, EOFError, KeyError, TypeError, AttributeError, RecursionError, zlib.error, zstd.Broken)


def fail(message):
    print(message, file=sys.stderr)
    sys.exit(1)


def fail_unreadable(error):
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        fail("the image needs more room than a build has ([build] memory_mb in the daemon's configuration)")
    fail(f"the image cannot be read: {type(error).__name__}: {error}")


def read_json(path, digest=None):
    if not path.is_file():
        fail(f"the image is not whole: `{path.name}` is missing")
    if path.stat().st_size > MAX_JSON:
        fail(f"`{path.name}` is larger than {MAX_JSON >> 20} MB")
    data = path.read_bytes()
    if digest and "sha256:" + hashlib.sha256(data).hexdigest() != digest:
        fail(f"`{path.name}` has not the digest that it is called by")
    try:
        value = json.loads(data)
    except ValueError as error:
        fail(f"`{path.name}`: {error}")
    if not isinstance(value, (dict, list)):
        fail(f"`{path.name}` is not what an image has there")
    return value


def is_layout(folder):
    return (folder / "index.json").is_file() or (folder / "manifest.json").is_file()


def find_layout():
    """The upload itself, the one folder of it that is a layout, or the one archive in it."""
    if is_layout(UPLOAD):
        return UPLOAD
    folders = [p for p in UPLOAD.iterdir() if p.is_dir() and not p.is_symlink() and is_layout(p)]
    if len(folders) == 1:
        return folders[0]
    files = [p for p in UPLOAD.iterdir() if p.is_file()]
    archives = files if len(files) == 1 else [p for p in files if p.name.endswith((".tar", ".tar.gz", ".tgz", ".oci"))]
    if folders or len(archives) != 1:
        fail("there is no image here: an OCI layout (index.json, blobs/), a folder with one, or one archive of one is looked for")
    SCRATCH.mkdir(parents=True)
    with tarfile.open(archives[0]) as archive:
        room = MAX_LAYER_UNPACKED
        for member in archive:
            if not member.isfile():
                continue  # a layout is files and folders
            room -= member.size
            if room < 0:
                fail(f"`{archives[0].name}` is larger than {MAX_LAYER_UNPACKED >> 30} GB unpacked")
            path = SCRATCH / posixpath.normpath("/" + member.name).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as file:
                shutil.copyfileobj(archive.extractfile(member), file)
    if not is_layout(SCRATCH):
        fail(f"`{archives[0].name}` holds neither index.json nor manifest.json")
    return SCRATCH


def checked_digest(descriptor):
    digest = str(descriptor.get("digest", ""))
    kind, _, hex_ = digest.partition(":")
    if kind != "sha256" or len(hex_) != 64 or not all(c in "0123456789abcdef" for c in hex_):
        fail(f"the image names a blob by `{digest[:100]}`, which is no sha256 digest")
    return digest


def blob(layout, descriptor):
    digest = checked_digest(descriptor)
    return layout / "blobs" / "sha256" / digest.partition(":")[2], digest


def find_manifest(layout, index, depth=0):
    """The manifest for this machine's architecture, through indexes of indexes."""
    found = []
    for descriptor in index.get("manifests", []):
        where = descriptor.get("platform") or {}
        if where and (where.get("os", "linux") != "linux" or where.get("architecture", ARCHITECTURE) != ARCHITECTURE):
            continue
        path, digest = blob(layout, descriptor)
        value = read_json(path, digest)
        if descriptor.get("mediaType") in INDEXES or "manifests" in value:
            if depth < MAX_INDEX_DEPTH:
                found += find_manifest(layout, value, depth + 1)
        else:
            found.append(value)
    return found


def open_image(layout):
    """The configuration and the layers' paths, lowest first. Every blob was checked against its digest."""
    if (layout / "index.json").is_file():
        manifests = find_manifest(layout, read_json(layout / "index.json"))
        if len(manifests) != 1:
            fail(f"the layout holds {len(manifests)} images for linux/{ARCHITECTURE}; exactly one is needed")
        path, digest = blob(layout, manifests[0].get("config", {}))
        config = read_json(path, digest)
        layers = []
        for descriptor in manifests[0].get("layers", []):
            path, digest = blob(layout, descriptor)
            if not path.is_file():
                fail(f"the image is not whole: layer {digest} is missing")
            with open(path, "rb") as file:
                if "sha256:" + hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    fail(f"layer {digest} has not that digest")
            layers.append(path)
    else:
        listed = read_json(layout / "manifest.json")
        if not isinstance(listed, list) or len(listed) != 1:
            fail("manifest.json does not name exactly one image")
        inside = lambda name: layout / posixpath.normpath("/" + str(name)).lstrip("/")
        config = read_json(inside(listed[0].get("Config")))
        layers = [inside(name) for name in listed[0].get("Layers", [])]
    if len(layers) > MAX_LAYERS:
        fail(f"the image has {len(layers)} layers, more than {MAX_LAYERS}")
    return config, layers


class Bounded:
    """A layer's bytes as they are once decompressed. What unfolds to more than a layer may be is stopped, not unpacked."""

    def __init__(self, file, name):
        self.file, self.name = file, name

    def read(self, count):
        if count > MAX_NAME_BYTES:
            fail(f"layer {self.name}: a name is larger than {MAX_NAME_BYTES >> 20} MB")
        data = self.file.read(count)
        self.check(self.file.tell())
        return data

    def seek(self, to, whence=io.SEEK_SET):
        self.check(to)
        return self.file.seek(to, whence)

    def tell(self):
        return self.file.tell()

    def seekable(self):
        return True

    def check(self, to):
        if to > MAX_LAYER_UNPACKED:
            fail(f"layer {self.name} is larger than {MAX_LAYER_UNPACKED >> 30} GB unpacked")


def open_layer(path):
    file = open(path, "rb")
    magic = file.read(4)
    file.seek(0)
    if magic == b"\x28\xb5\x2f\xfd":
        file = io.BufferedReader(zstd.Reader(file), 1 << 16)
    elif magic[:2] == b"\x1f\x8b":
        file = gzip.GzipFile(fileobj=file)
    return tarfile.open(fileobj=Bounded(file, path.name[:12]), mode="r:")


class Root:
    """What upper layers have decided: the kind of each path that is there, and what of lower layers they hide."""

    def __init__(self):
        self.kinds = {}  # path -> "d", "i" (a folder nobody described yet) or "f"
        self.removed, self.opaque = set(), set()
        self.bytes = self.files = 0  # of what was written

    def count(self, size):
        self.bytes, self.files = self.bytes + size, self.files + 1
        if self.bytes > MAX_ROOT_BYTES:
            fail(f"the image is larger than {MAX_ROOT_BYTES >> 30} GB unpacked")
        if self.files > MAX_FILES:
            fail(f"the image has more than {MAX_FILES} files")

    def hides(self, path, is_folder):
        at = path
        while at:
            if at in self.removed:
                return True
            kind = self.kinds.get(at)
            if kind == "f" or (at == path and kind and (kind == "d" or not is_folder)):
                return True
            at = posixpath.dirname(at)
            if at in self.opaque:
                return True
        return False


def apply_layer(layer, root, out):
    """Writes what the layers above leave of this one; then this one is above the next."""
    here, removed, opaque, written, replaced = {}, set(), set(), set(), {}
    for number, member in enumerate(layer):
        if number == MAX_FILES:
            fail(f"one layer has more than {MAX_FILES} files")
        path = posixpath.normpath("/" + member.name).lstrip("/")
        if not path or path == ".":
            continue
        folder, name = posixpath.split(path)
        if name == ".wh..wh..opq":
            opaque.add(folder)
            continue
        if name.startswith(".wh."):
            removed.add(posixpath.join(folder, name[4:]))
            continue
        if root.hides(path, member.isdir()) or path.split("/")[0] in ("dev", "proc", "sys") or here.get(path) == "f":
            continue
        if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
            print(f"left out: {path} (a device, a pipe or a socket)", file=sys.stderr)
            continue
        here[path] = "d" if member.isdir() else "f"
        content = None
        entry = tarfile.TarInfo(path)
        entry.mode, entry.uid, entry.gid, entry.mtime, entry.type, entry.linkname = stat.S_IMODE(member.mode) & 0o1777, member.uid, member.gid, int(member.mtime), member.type, member.linkname
        if member.islnk():
            target = posixpath.normpath("/" + member.linkname).lstrip("/")
            entry.linkname = replaced.get(target, target)
            if entry.linkname not in written:  # its other name is hidden by a layer above: this one keeps the bytes
                entry.type, entry.linkname, content = tarfile.REGTYPE, "", layer.extractfile(member)
                content.seek(0, io.SEEK_END)
                entry.size = content.tell()
                content.seek(0)
                replaced[target] = path
        elif member.isfile():
            entry.type, entry.size, content = tarfile.REGTYPE, member.size, layer.extractfile(member)
        root.count(entry.size)
        out.addfile(entry, content)
        written.add(path)
    for path, kind in here.items():
        root.kinds[path] = kind
        parent = posixpath.dirname(path)
        while parent and parent not in root.kinds:
            root.kinds[parent] = "i"
            parent = posixpath.dirname(parent)
    root.removed |= removed
    root.opaque |= opaque


def how_to_start(config, root):
    told = config.get("config") or {}
    argv = [str(a) for a in (told.get("Entrypoint") or []) + (told.get("Cmd") or [])]
    if not argv and not os.environ.get("SKERRY_OWN_SERVER"):
        fail("the image has neither Entrypoint nor Cmd; [runtime] entrypoint may name a command")
    folder = told.get("WorkingDir") or "/"
    if argv and folder != "/app":
        if root.kinds.get("bin/sh") or root.kinds.get("bin") == "f" and root.kinds.get("usr/bin/sh"):
            argv = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', folder, *argv]
        elif argv[0].startswith("."):
            argv[0] = posixpath.normpath(posixpath.join(folder, argv[0]))
    env = [str(e) for e in told.get("Env") or [] if "=" in str(e) and not str(e).startswith(RESERVED + ("=",))]
    return {"entry": "", "shape": "server", "argv": argv, "env": env}


def write_root(layout):
    config, layers = open_image(layout)
    root = Root()
    with os.fdopen(os.dup(1), "wb") as raw, tarfile.open(fileobj=raw, mode="w|", format=tarfile.PAX_FORMAT) as out:
        for path in reversed(layers):
            with open_layer(path) as layer:
                apply_layer(layer, root, out)
        recorded = json.dumps(how_to_start(config, root)).encode()
        entry = tarfile.TarInfo(".skerry/revision.json")
        entry.size, entry.mode = len(recorded), 0o644
        out.addfile(entry, io.BytesIO(recorded))


if __name__ == "__main__":
    try:
        write_root(find_layout())
    except UNREADABLE as error:
        fail_unreadable(error)
