"""Layers: archives in, folders of shifted ids out, visible only when complete."""
import array
import hashlib
import io
import os
import socket
import struct
import tarfile

import pytest
import sandbox as sb

UNPACK, REMOVE, HAS = range(3)


def make_tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


class Filler:
    def __init__(self, box):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(str(box.run / "filler.sock"))
        self.socket.settimeout(30)

    def ask(self, request, fds=()):
        self.socket.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        r = sb.Reader(self.socket.recv(65536))
        return {"ok": bool(r.number("B")), "existed": bool(r.number("B")), "code": r.number("B"), "message": r.text(), "bytes": r.number("Q"), "files": r.number("I")}

    def unpack(self, raw, subfolder="", digest=None, max_bytes=1 << 20, max_files=100):
        fd = os.memfd_create("archive")
        os.write(fd, raw)
        os.lseek(fd, 0, 0)
        digest = digest or "sha256:" + hashlib.sha256(raw).hexdigest()
        answer = self.ask(struct.pack("<B", UNPACK) + sb.text(digest) + sb.text(subfolder) + struct.pack("<QI", max_bytes, max_files), [fd])
        os.close(fd)
        return digest, answer

    def has(self, digest):
        return self.ask(struct.pack("<B", HAS) + sb.text(digest))["ok"]

    def remove(self, digest):
        return self.ask(struct.pack("<B", REMOVE) + sb.text(digest))["ok"]


@pytest.fixture
def filler(box):
    f = Filler(box)
    yield f
    f.socket.close()


def unfinished(box):
    return [name for name in os.listdir(box.state / "layers") if name.startswith(".tmp-")]


def test_an_archive_becomes_a_layer_that_containers_use(box, filler):
    digest, done = filler.unpack(make_tar({"hello.txt": b"from the archive\n"}), "/app")
    assert done["ok"] and not done["existed"] and done["files"] >= 1, done
    top = box.state / "layers" / digest[7:]
    assert os.stat(top / "app" / "hello.txt").st_uid == sb.LAYER_ID_BASE + 1000
    assert filler.has(digest) and not unfinished(box)
    i = box.up(layers=[box.layer, digest])
    assert i.get("/read/app/hello.txt") == "from the archive\n"
    assert i.values("/stat/app/hello.txt")["uid"] == "1000"
    i.kill()


def test_the_same_archive_again_is_answered_at_once(filler):
    raw = make_tar({"a": b"1"})
    digest, first = filler.unpack(raw, "/app")
    _, second = filler.unpack(raw, "/app")
    assert first["ok"] and second["ok"] and second["existed"]
    _, elsewhere = filler.unpack(raw, "/other")
    assert not elsewhere["ok"] and "exists below `/app`" in elsewhere["message"]
    assert filler.remove(digest) and not filler.has(digest) and not filler.remove(digest)


@pytest.mark.parametrize("what", ["wrong digest", "garbage", "too many bytes", "too many files", "escape"])
def test_archives_that_are_not_what_they_should_be_leave_nothing(box, filler, what):
    raw, options = make_tar({"x": b"0" * 5000, "y": b"1"}), {}
    if what == "wrong digest":
        options["digest"] = "sha256:" + "c" * 64
    elif what == "garbage":
        raw = os.urandom(5000)
    elif what == "too many bytes":
        options["max_bytes"] = 4096
    elif what == "too many files":
        options["max_files"] = 1
    elif what == "escape":
        raw = make_tar({"../../escaped": b"x"})
    digest, done = filler.unpack(raw, "/app", **options)
    assert not done["ok"] and done["message"] and done["code"] is not None
    assert not filler.has(digest) and not unfinished(box)
    assert not (box.state / "escaped").exists() and not (box.state / "layers" / "escaped").exists()


@pytest.mark.parametrize("subfolder", ["app", "/../etc", "/a b", "/a\nb"])
def test_subfolders_are_plain_absolute_paths(filler, subfolder):
    _, done = filler.unpack(make_tar({"a": b"1"}), subfolder)
    assert not done["ok"]


def test_filler_killed_while_unpacking_leaves_no_process_and_no_folder(box):
    f = Filler(box)
    raw = make_tar({f"f{i}": b"z" * 1000 for i in range(3000)})
    fd = os.memfd_create("archive")
    os.write(fd, raw)
    os.lseek(fd, 0, 0)
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    f.socket.sendmsg([struct.pack("<B", UNPACK) + sb.text(digest) + sb.text("/app") + struct.pack("<QI", 1 << 30, 100000)],
                     [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    os.close(fd)
    box.wait_until(lambda: unfinished(box) or (box.state / "layers" / digest[7:]).exists(), "unpacking does not begin")
    box.kill("filler")
    box.start("filler")
    f = Filler(box)
    box.wait_until(lambda: not unfinished(box), "half a layer stays")
    _, done = f.unpack(raw, "/app", max_bytes=1 << 30, max_files=100000)
    assert done["ok"], done
