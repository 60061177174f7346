"""Images: an OCI layout or archive, flattened in a container and started as its own server."""
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile

import pytest
from conftest import ROOT
from image_files import layer, layout

GO_SERVER = '''package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	wd, _ := os.Getwd()
	text, _ := os.ReadFile("/etc/message")
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s %s", text, os.Getenv("FROM_IMAGE"), wd) })
	http.ListenAndServe(":"+os.Getenv("PORT"), nil)
}
'''


def flatten(tmp_path, files):
    """What flatten.py makes of an upload, run here: (its tar's members by name, its words)."""
    for name, data in files.items():
        path = tmp_path / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    result = subprocess.run([sys.executable, "-I", ROOT / "shims/image/flatten.py"], capture_output=True, timeout=60, env={"SKERRY_SRC": str(tmp_path / "app"), "TMPDIR": str(tmp_path), "PATH": os.environ["PATH"]})
    if result.returncode != 0:
        return None, result.stderr.decode()
    with tarfile.open(fileobj=io.BytesIO(result.stdout)) as tar:
        return {m.name: (m, tar.extractfile(m).read() if m.isfile() or m.islnk() else None) for m in tar}, result.stderr.decode()


CONFIG = {"Entrypoint": ["/server"], "Env": ["A=1", "PORT=9", "SKERRY_X=1"]}


def test_upper_layers_hide_what_is_below(tmp_path):
    lower = layer([("etc", "folder", ""), ("etc/a", "file", "low"), ("etc/b", "file", "low"), ("gone", "folder", ""), ("gone/x", "file", "x"), ("opaque", "folder", ""),
                   ("opaque/old", "file", "x"), ("was-folder", "folder", ""), ("was-folder/x", "file", "x"), ("was-link", "link", "etc")])
    upper = layer([("etc/a", "file", "high"), (".wh.gone", "file", ""), ("opaque/.wh..wh..opq", "file", ""), ("opaque/new", "file", "n"), ("was-folder", "file", "f"), ("was-link/x", "file", "y")])
    made, _ = flatten(tmp_path, layout([lower, upper], CONFIG))
    assert sorted(made) == sorted(["etc", "etc/a", "etc/b", "opaque", "opaque/new", "was-folder", "was-link/x", ".skerry/revision.json"])
    assert made["etc/a"][1] == b"high" and made["etc/b"][1] == b"low"


def test_a_hard_link_keeps_its_bytes_when_its_other_name_is_hidden(tmp_path):
    lower = layer([("a", "file", "bytes"), ("b", "hard", "a"), ("c", "hard", "a"), ("d", "file", "d"), ("e", "hard", "d")])
    upper = layer([(".wh.a", "file", "")])
    made, _ = flatten(tmp_path, layout([lower, upper], CONFIG))
    assert made["b"][0].isfile() and made["b"][1] == b"bytes"
    assert made["c"][0].islnk() and made["c"][0].linkname == "b"
    assert made["e"][0].islnk() and made["e"][0].linkname == "d"


def test_what_a_container_may_not_have_is_left_out(tmp_path):
    made, words = flatten(tmp_path, layout([layer([("null", "device", ""), ("bin/su", "setuid", "x"), ("proc/x", "file", "x"), ("../../escape", "file", "x")])], CONFIG))
    assert sorted(made) == [".skerry/revision.json", "bin/su", "escape"]
    assert made["bin/su"][0].mode == 0o755 and "null" in words


def test_the_configuration_is_recorded(tmp_path):
    made, _ = flatten(tmp_path, layout([layer([("server", "file", "x")])], {**CONFIG, "Cmd": ["--flag"]}))
    assert json.loads(made[".skerry/revision.json"][1]) == {"entry": "", "shape": "server", "argv": ["/server", "--flag"], "env": ["A=1"]}


def test_a_working_directory_needs_a_shell(tmp_path):
    made, _ = flatten(tmp_path, layout([layer([("bin/sh", "file", "x"), ("srv/run", "file", "x")])], {"Cmd": ["./run"], "WorkingDir": "/srv"}))
    assert json.loads(made[".skerry/revision.json"][1])["argv"] == ["/bin/sh", "-c", 'cd "$0" && exec "$@"', "/srv", "./run"]


@pytest.mark.parametrize("change,words", [
    (lambda f: {}, "no image here"),
    (lambda f: {k: v for k, v in f.items() if not k.startswith("blobs")}, "not whole"),
    (lambda f: {k: v + b"x" if k.startswith("blobs") and v[:2] == b"\x1f\x8b" else v for k, v in f.items()}, "digest"),
    (lambda f: {**f, "index.json": "{"}, "index.json"),
    (lambda f: {**f, "index.json": '{"manifests": [{"digest": "sha256:../../etc/passwd"}]}'}, "no sha256 digest"),
    (lambda f: {**f, "index.json": '{"manifests": []}'}, "0 images"),
    (lambda f: {**f, "index.json": '{"manifests": [7]}'}, "cannot be read"),
])
def test_an_image_that_is_none_says_why(tmp_path, change, words):
    (tmp_path / "app").mkdir()
    made, said = flatten(tmp_path, change(layout([layer([("server", "file", "x")])], CONFIG)))
    assert made is None and words in said and "Traceback" not in said, said


def test_an_image_is_shipped_and_answers(builds, tmp_path):
    source = tmp_path / "main.go"
    source.write_text(GO_SERVER)
    go = "/usr/local/go/bin/go" if pathlib.Path("/usr/local/go/bin/go").exists() else "go"
    try:
        built = subprocess.run([go, "build", "-o", tmp_path / "server", source], env={**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}, capture_output=True, text=True, timeout=300)
    except FileNotFoundError:
        pytest.skip("makes its image's program with Go, which is not on this machine")
    assert built.returncode == 0, built.stderr
    program = (tmp_path / "server").read_bytes()
    files = layout([layer([("server", "file", program), ("etc/message", "file", "from below")]), layer([("etc/message", "file", "from the image")])],
                   {"Entrypoint": ["/server"], "Env": ["FROM_IMAGE=yes", "PATH=/bin"]})
    events = builds.events("an-image", files, language="image")
    assert events.ok, events
    assert builds.call(events.last["url"]).text == "from the image yes /app"
    # The same as one archive, as `docker save` and its like write it.
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            data = data if isinstance(data, bytes) else data.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    again = builds.events("an-image", {"image.tar": packed.getvalue()}, language="image")
    assert again.ok, again
    assert builds.call(again.last["url"]).text == "from the image yes /app"
