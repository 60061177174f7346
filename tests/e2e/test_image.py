"""Functions that are container images, by reference and as a layout of the project: shipped with the real CLI, called over HTTPS. The registry asks for a password, over TLS."""
import gzip
import io
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile

import pytest
from conftest import IMAGES, ROOT, Skerry

sys.path.append(str(ROOT / "tests/build"))
from fake_registry import PASSWORD, USER, Outside, Registry  # noqa: E402
from image_files import ARCHITECTURE, layer, layout  # noqa: E402

SERVER = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{open('/etc/message').read()} {os.environ['FROM_IMAGE']} {os.getcwd()}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Answer).serve_forever()
"""
CONFIG = {"Entrypoint": ["python3", "/srv/server.py"], "Env": ["FROM_IMAGE=yes", "PATH=/usr/bin"], "WorkingDir": "/srv"}
MANIFEST = '[edge_compute]\nfunc_name = "{}"\n[runtime]\nlanguage = "image"\nimage = "{}"\n'


def app(message):
    return layer([("srv", "folder", ""), ("srv/server.py", "file", SERVER), ("etc/message", "file", message)])


class WithRegistries(Skerry):
    def __init__(self, registries):
        self.registries = registries
        super().__init__()

    def start(self):
        # Another Skerry of this session may have the addresses.
        self.config.write_text(self.config.read_text().replace("198.19.0.0/16", "100.69.0.0/16") + self.registries)
        super().start()

    def ship_image(self, name, image, *arguments):
        work = self.folder / name
        work.mkdir(exist_ok=True)
        (work / "skerry.toml").write_text(MANIFEST.format(name, image))
        return self.cli("ship", work, *arguments, check=False)


@pytest.fixture(scope="module")
def root():
    """The root of a small Debian with Python: the image that Python functions run in, as somebody else's base layer."""
    folder = IMAGES / "python"
    current = json.loads((folder / "current").read_text())
    return gzip.compress((folder / f"{current['recipe'].removeprefix('sha256:')}.tar").read_bytes(), 1)


def certificate(folder, address):
    for command in (["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=registry", "-addext", f"subjectAltName=IP:{address}",
                     "-keyout", "key.pem", "-out", "cert.pem"],):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.fixture(scope="module")
def world():
    """A registry out on the internet, and a Skerry whose configuration has its password."""
    if os.geteuid() != 0:
        pytest.skip("makes containers: needs root")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="skr", dir="/tmp"))
    outside = Outside()
    try:
        registry = Registry(outside.address, password=True, tls=certificate(folder, outside.address), namespace=outside.name)
        (folder / "auth.json").write_text(json.dumps({"auths": {f"https://{registry.host}/v1/": {"username": USER, "password": PASSWORD}}}))
        for path in (folder, *folder.iterdir()):
            path.chmod(0o755)  # the control process reads it
        text = f'[registries]\nauth_file = "{folder}/auth.json"\nca_file = "{folder}/cert.pem"\n[registries.mirrors]\n"hub.example" = "{registry.host}/shop"\n'
        skerry = WithRegistries(text)
        yield skerry, registry
        skerry.close()
        registry.close()
    finally:
        outside.close()
        shutil.rmtree(folder)


def test_a_reference_is_shipped_and_follows_its_tag(world, root):
    skerry, registry = world
    other = registry.image([layer([("x", "file", "for another machine")])], CONFIG)
    first = registry.index(("s390x", other), (ARCHITECTURE, registry.image([root, app("first")], CONFIG)))
    registry.tag("1.4", first)
    reference = f"{registry.host}/shop/orders:1.4"
    shipped = skerry.ship_image("orders", reference, "--json")
    assert shipped.returncode == 0, (shipped.stdout, shipped.stderr, skerry.log())
    url = json.loads(shipped.stdout)["url"]
    assert skerry.call(url).text == "first yes /srv"
    shown = skerry.cli("get", "orders").stdout
    assert first["digest"] in shown and reference in shown
    assert PASSWORD not in skerry.log() + shown + "".join(p.read_text() for p in (skerry.state / "control/builds").iterdir())

    # The tag has not moved: nothing is pulled, nothing is made.
    before = len(registry.asked)
    again = skerry.ship_image("orders", reference)
    assert again.returncode == 0 and "nothing is made" in again.stderr, again.stderr
    assert skerry.get("orders")["revision"]["number"] == 1 and skerry.get("orders")["revisions"] == 1
    assert not any("/blobs/" in path for _, path, _ in registry.asked[before:])

    # It has: only what is new is told by another digest.
    second = registry.image([root, app("second")], CONFIG)
    registry.tag("1.4", second)
    assert skerry.ship_image("orders", reference).returncode == 0
    revision = skerry.get("orders")["revision"]
    assert (revision["number"], revision["digest"], revision["image"]) == (2, second["digest"], reference)
    assert skerry.call(url).text == "second yes /srv"

    # A config-only change keeps the image and says so still.
    changed = skerry.ship_image("orders", reference, "--config-only", "--memory", "128MB", "--json")
    assert changed.returncode == 0, changed.stderr
    revision = skerry.get("orders")["revision"]
    assert (revision["number"], revision["digest"], revision["image"]) == (3, second["digest"], reference)

    # By digest, and through the mirror's name for the same registry.
    pinned = skerry.ship_image("pinned", f"hub.example/orders@{first['digest']}", "--json")
    assert pinned.returncode == 0, (pinned.stdout, pinned.stderr)
    assert skerry.call(json.loads(pinned.stdout)["url"]).text == "first yes /srv"


@pytest.mark.parametrize("image,words", [
    ("orders:1.4", "names no registry"), ("shop/orders:1.4", "names no registry"), ("https://registry.example/orders", "is a URL"), ("registry.example/Orders", "name that is none"),
    ("10.0.0.1:5000/orders:1", "an address that builds do not reach"), ("localhost:5000/orders:1", "an address that builds do not reach"),
    ("{host}/shop/orders:none", "has no `shop/orders:none`"), ("{host}/shop/orders@sha256:" + "0" * 64, "404"), ("nowhere.invalid/orders:1", "nowhere.invalid is not known"),
])
def test_a_reference_that_cannot_be_had_says_why(world, image, words):
    skerry, registry = world
    result = skerry.ship_image("bad", image.format(host=registry.host))
    assert result.returncode != 0 and words in result.stdout + result.stderr, (result.stdout, result.stderr)


def write(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())


def test_a_layout_of_the_project_is_shipped_and_nothing_beside_it(world, root):
    skerry, _ = world
    work = skerry.folder / "local"
    files = layout([root, app("from the folder")], CONFIG)
    write(work / "dist" / "image", files)
    write(work, {"secret.txt": "x", ".gitignore": "dist/\n"})
    listed = skerry.ship_image("local", "./dist/image", "--check")
    assert listed.returncode == 0 and "index.json" in listed.stdout and "secret" not in listed.stdout, listed.stdout + listed.stderr
    shipped = skerry.ship_image("local", "./dist/image", "--json")
    assert shipped.returncode == 0, (shipped.stdout, shipped.stderr, skerry.log())
    assert skerry.call(json.loads(shipped.stdout)["url"]).text == "from the folder yes /srv"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(work / "dist" / "image", ".")
    write(work, {"image.archive": packed.getvalue()})
    archived = skerry.ship_image("local", "./image.archive", "--json")
    assert archived.returncode == 0, (archived.stdout, archived.stderr)
    for image, words in (("./none", "is not there"), ("../other", "is not there"), ("./../../", "outside of the project"), ("/etc", "outside of the project"), ("./dist", "no OCI layout")):
        refused = skerry.ship_image("local", image)
        assert refused.returncode == 2 and words in refused.stderr, refused.stderr
