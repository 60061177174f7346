"""shims/image/pull.py against registries of every kind, good and hostile; run here, without a container."""
import base64
import gzip
import importlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time

import pytest
from conftest import ROOT
from fake_registry import LAYER, PASSWORD, USER, Registry, digest_of, send
from image_files import ARCHITECTURE, layer

LIMIT_S = 20
CONFIG = {"Entrypoint": ["/server"], "Env": ["A=1"]}
AUTH = {"username": USER, "password": PASSWORD}
ENCODED = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}


def run(tmp_path, what, registry, orders=None, env=None):
    """What pull.py does: (its tar's files by name or None, its words, seconds)."""
    host = registry if isinstance(registry, str) else registry.host
    text = {"endpoint": host, "repository": "shop/orders", "tag": "1", "plain_http": [host], "named": [host], **(orders or {})}
    began = time.monotonic()
    result = subprocess.run([sys.executable, "-I", ROOT / "shims/image/pull.py", what], input=json.dumps(text).encode(), capture_output=True, timeout=60,
                            env={"PATH": os.environ["PATH"], "TMPDIR": tempfile.mkdtemp(dir=tmp_path), **(env or {})})
    seconds = time.monotonic() - began
    words = result.stderr.decode()
    assert "Traceback" not in words, words
    if result.returncode != 0:
        return None, words, seconds
    with tarfile.open(fileobj=io.BytesIO(result.stdout)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}, words, seconds


def pull(tmp_path, registry, digest, **orders):
    return run(tmp_path, "pull", registry, {"digest": digest, **orders})


@pytest.fixture
def registry():
    r = Registry()
    yield r
    r.close()


def simple(registry, content="x"):
    return registry.image([layer([("server", "file", content)])], CONFIG)


def test_a_tag_is_resolved_and_its_image_for_this_machine_pulled(tmp_path, registry):
    index = registry.index(("s390x", simple(registry, "other")), (ARCHITECTURE, simple(registry, "ours")))
    registry.tag("1", index)
    found, words, _ = run(tmp_path, "resolve", registry)
    assert found == {"digest": index["digest"].encode()}, words
    made, words, _ = pull(tmp_path, registry, index["digest"])
    assert made["server"] == b"ours" and json.loads(made[".skerry/revision.json"])["argv"] == ["/server"], words


def test_a_registry_that_tells_no_digest_has_its_manifest_counted(tmp_path, registry):
    digest = registry.tag("1", simple(registry))
    kind, data = registry.manifests[digest]
    registry.answers["/v2/shop/orders/manifests/1"] = lambda h: send(h, 405, b"") if h.command == "HEAD" else send(h, 200, data, {"Content-Type": kind})
    assert run(tmp_path, "resolve", registry)[0] == {"digest": digest.encode()}


@pytest.mark.parametrize("auth", [AUTH, ENCODED], ids=["password", "encoded"])
def test_a_token_is_asked_for_with_the_daemons_credentials(tmp_path, auth):
    registry = Registry(password=True)
    try:
        digest = registry.tag("1", simple(registry))
        made, words, _ = pull(tmp_path, registry, digest, auth=auth)
        assert made, words
        assert [given for _, path, given in registry.asked if path == "/token"][0].startswith("Basic ")
        for wrong in ({}, {"auth": {"username": USER, "password": "other"}}):
            made, words, _ = pull(tmp_path, registry, digest, **wrong)
            assert made is None and registry.host in words and "401" in words and "other" not in words
    finally:
        registry.close()


def test_a_blob_may_lie_elsewhere_and_credentials_stay(tmp_path, registry):
    store = Registry()
    try:
        body = layer([("server", "file", "far")])
        digest = registry.image([body], CONFIG)["digest"]
        store.answers["/blob"] = lambda h: send(h, 200, body)
        registry.answers[f"/v2/shop/orders/blobs/{digest_of(body)}"] = lambda h: send(h, 307, b"", {"Location": f"{store.url}/blob"})
        registry.password = True
        hosts = [registry.host, store.host]
        made, words, _ = pull(tmp_path, registry, digest, auth=AUTH, plain_http=hosts, named=hosts)
        assert made["server"] == b"far", words
        assert store.asked == [("GET", "/blob", None)]
        # Who is not named in the daemon's configuration is not asked over plain HTTP, nor at an address that is closed to builds.
        made, words, _ = pull(tmp_path, registry, digest, auth=AUTH)
        assert made is None and "not https" in words
        assert len(store.asked) == 1
    finally:
        store.close()


@pytest.mark.parametrize("where,words", [
    ("https://127.0.0.1:9/x", "an address that builds do not reach"), ("https://169.254.169.254/latest", "an address that builds do not reach"),
    ("https://10.0.0.1/", "an address that builds do not reach"), ("https://2130706433/", "an address that builds do not reach"), ("https://localhost/", "an address that builds do not reach"),
    ("file:///etc/passwd", "not https"), ("http://192.0.2.1/", "not https"), ("https://user@127.0.0.1:9/", "an address that builds do not reach"), ("https://[::1]/", "is not known"),
    ("https://x:y/", "cannot be asked"), ("//127.0.0.1:9/", "not https"), ("", "more than 5 times"),
])
@pytest.mark.parametrize("by", ["redirect", "realm"])
def test_a_registry_leads_nowhere_that_is_closed(tmp_path, registry, where, words, by):
    digest = simple(registry)["digest"]
    if by == "redirect":
        registry.answers[f"/v2/shop/orders/manifests/{digest}"] = lambda h: send(h, 302, b"", {"Location": where})
    else:
        registry.answers[f"/v2/shop/orders/manifests/{digest}"] = lambda h: send(h, 401, b"", {"WWW-Authenticate": f'Bearer realm="{where}"'})
    made, said, seconds = pull(tmp_path, registry, digest)
    assert made is None and seconds < LIMIT_S
    assert (words if where or by == "redirect" else "401") in said or (by == "realm" and where.startswith("//") and "not https" in said), said


def test_what_is_named_is_open_only_for_who_is_named(tmp_path):
    """A strange registry that leads to a host of the operator's: that it is in the configuration opens nothing."""
    registry = Registry()
    try:
        made, words, _ = run(tmp_path, "resolve", registry, {"plain_http": ["10.0.0.1"], "named": ["10.0.0.1"]})
        assert made is None and "an address that builds do not reach" in words
        assert registry.asked == []
    finally:
        registry.close()


def lying(registry, change):
    """The digest of an image whose one layer's blob is answered by what `change` makes of it."""
    body = layer([("server", "file", os.urandom(50_000))])
    digest = registry.image([body], CONFIG)["digest"]
    registry.answers[f"/v2/shop/orders/blobs/{digest_of(body)}"] = lambda h: change(h, body)
    return digest


def endless(handler, body):
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        pass  # cut off, as it should be


@pytest.mark.parametrize("change,words", [
    (lambda h, body: send(h, 200, body[:-1] + b"x"), "not the digest"), (lambda h, body: send(h, 200, body + b"x"), "its manifest says"), (lambda h, body: send(h, 200, body[:-9]), "its manifest says"),
    (lambda h, body: send(h, 200, body[:-9], {"Content-Length": str(len(body)), "Connection": "close"}) or setattr(h, "close_connection", True), "fewer than"), (endless, "more than"),
    (lambda h, body: send(h, 404, b""), "among its blobs"), (lambda h, body: send(h, 503, b""), "answers 503"), (lambda h, body: h.wfile.write(b"nonsense\r\n\r\n"), "cannot be asked"),
    (lambda h, body: send(h, 302, b"", {"Location": h.path}), "more than 5 times"), (lambda h, body: h.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300), "cannot be asked"),
])
def test_a_registry_that_lies_about_a_blob_is_found_out(tmp_path, registry, change, words):
    made, said, seconds = pull(tmp_path, registry, lying(registry, change))
    assert made is None and words in said and seconds < LIMIT_S, said


def described(**change):
    return {"mediaType": LAYER, "digest": "sha256:" + "1" * 64, "size": 5, **change}


@pytest.mark.parametrize("layers,words", [
    ([described(size=(1 << 30) + 1)], "the limit is 1024 MB"), ([described(digest="sha256:" + str(n) * 64, size=600 << 20) for n in (1, 2, 3)], "the limit is 1536 MB"),
    ([described()] * 129, "more than 128"), ([described(size=-1)], "has no size"), ([described(size="5")], "has no size"), ([described(size=True)], "has no size"),
    ([described(digest="sha256:../../../etc/passwd")], "no sha256 digest"), ([7], "no list of layers"), ({}, "no list of layers"),
])
def test_what_is_declared_is_judged_before_anything_is_downloaded(tmp_path, registry, layers, words):
    image = registry.image([], CONFIG)
    manifest = json.loads(registry.manifests[image["digest"]][1])
    digest = registry.manifest({**manifest, "layers": layers}, image["mediaType"])["digest"]
    made, said, _ = pull(tmp_path, registry, digest)
    assert made is None and words in said, said
    assert not any("/blobs/" in path for _, path, _ in registry.asked)


@pytest.mark.parametrize("value,words", [
    ([], "no JSON object"), ({"schemaVersion": 1, "fsLayers": []}, "old kind"), ({"schemaVersion": 2, "manifests": []}, "none at all"),
    ({"schemaVersion": 2, "manifests": [{"platform": {"os": "windows", "architecture": "amd64"}}]}, "there is windows/amd64"), ({"schemaVersion": 2, "manifests": 5}, "no list of manifests"),
    ({"schemaVersion": 2, "layers": [], "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json"}}, "no container image"), ({"schemaVersion": 2, "layers": [], "config": 7}, "no container image"),
])
def test_what_is_no_image_says_so(tmp_path, registry, value, words):
    made, said, _ = pull(tmp_path, registry, registry.manifest(value, "application/json")["digest"])
    assert made is None and words in said, said


def test_a_manifest_has_its_digest_and_a_bound(tmp_path, registry):
    digest = simple(registry)["digest"]
    registry.manifests[digest] = ("x", registry.manifests[digest][1] + b" ")
    made, said, _ = pull(tmp_path, registry, digest)
    assert made is None and "not the digest" in said
    registry.manifests[digest] = ("x", b" " * ((4 << 20) + 1))
    made, said, _ = pull(tmp_path, registry, digest)
    assert made is None and "larger than 4096 KB" in said
    registry.manifests[digest] = ("x", b"[" * 100_000)
    assert pull(tmp_path, registry, digest)[0] is None
    made, said, _ = pull(tmp_path, registry, "sha256:" + "f" * 64)
    assert made is None and "has no `shop/orders@sha256:ffff" in said and "404" in said


def test_one_that_takes_connections_and_says_nothing_is_named_within_20_s(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        made, words, seconds = run(tmp_path, "resolve", host)
        assert made is None and f"the registry {host} does not answer" in words and seconds < LIMIT_S


def test_a_proxy_of_the_machine_is_used(tmp_path, registry):
    digest = registry.tag("1", simple(registry))
    proxy = Registry()
    try:
        proxy.answer = lambda h: send(h, 200, b"", {"Docker-Content-Digest": digest}) if h.path.startswith("http://192.0.2.9/v2/shop/orders/manifests/1") else send(h, 400, b"")
        found, words, _ = run(tmp_path, "resolve", "192.0.2.9", env={"http_proxy": proxy.url})
        assert found == {"digest": digest.encode()}, words
    finally:
        proxy.close()


# ---- layers that unfold to more than is allowed

def zstd(blocks):
    """A zstd frame of blocks: (kind 0 raw or 1 repeated, bytes, length)."""
    out = b"\x28\xb5\x2f\xfd\x00\x38"
    for number, (kind, data, size) in enumerate(blocks):
        out += (int(number == len(blocks) - 1) | kind << 1 | size << 3).to_bytes(3, "little") + data
    return out


def pulled_layer(tmp_path, registry, data):
    return pull(tmp_path, registry, registry.image([data], CONFIG)["digest"])


def test_layers_may_be_compressed_with_zstd_or_not_at_all(tmp_path, registry):
    body = os.urandom(300_000)
    plain = gzip.decompress(layer([("server", "file", body), ("second", "hard", "server"), ("b", "file", "y")]))
    squeezed = zstd([(0, plain[at:at + 100_000], len(plain[at:at + 100_000])) for at in range(0, len(plain), 100_000)])
    # The upper layer hides the first name, so that the second is read back from before it.
    digest = registry.image([squeezed, gzip.decompress(layer([(".wh.server", "file", "")]))], CONFIG)["digest"]
    made, words, _ = pull(tmp_path, registry, digest)
    assert made["second"] == body and made["b"] == b"y" and "server" not in made, words
    made, words, _ = pulled_layer(tmp_path, registry, squeezed[:200_000])
    assert made is None and "zstd" in words
    made, words, _ = pulled_layer(tmp_path, registry, squeezed[:6] + b"\xff" * 50)
    assert made is None and "no zstd stream" in words


def header(name, size, kind=tarfile.REGTYPE):
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf()


def test_a_layer_that_unfolds_to_more_than_a_revision_is_stopped(tmp_path, registry):
    zeros = zstd([(0, header("a", 3 << 30), 512)] + [(1, b"\0", 128 << 10)] * ((3 << 30) // (128 << 10)))
    made, words, seconds = pulled_layer(tmp_path, registry, zeros)
    assert made is None and "larger than 2 GB" in words and seconds < LIMIT_S
    made, words, _ = pulled_layer(tmp_path, registry, gzip.compress(header("a", 1 << 30, tarfile.XHDTYPE) + bytes(2 << 20)))
    assert made is None and "a name is larger than 1 MB" in words


def test_a_sparse_file_counts_by_what_it_unfolds_to(tmp_path, registry):
    sparse = tarfile.TarInfo("big")
    sparse.size = 0
    sparse.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "big", "GNU.sparse.size": str(5 << 30), "GNU.sparse.map": "0,0"}
    made, words, _ = pulled_layer(tmp_path, registry, gzip.compress(sparse.tobuf(tarfile.PAX_FORMAT)))
    assert made is None and "larger than 2 GB" in words, words


@pytest.fixture
def flatten(monkeypatch):
    """flatten.py with a bound that a test reaches in no time."""
    monkeypatch.syspath_prepend(str(ROOT / "shims/image"))
    module = importlib.import_module("flatten")
    assert module.MAX_FILES == 300_000  # CONTRACT section 8
    monkeypatch.setattr(module, "MAX_FILES", 10)
    return module


def test_the_limit_of_files_holds_at_the_limit_and_one_past(flatten, capsys):
    def apply(root, prefix, count):
        tar = io.BytesIO(b"".join(header(f"{prefix}{n}", 0) for n in range(count)))
        with tarfile.open(fileobj=tar) as opened, tarfile.open(fileobj=io.BytesIO(), mode="w|") as out:
            flatten.apply_layer(opened, root, out)

    apply(flatten.Root(), "a", 10)
    with pytest.raises(SystemExit):
        apply(flatten.Root(), "a", 11)
    assert "one layer has more than 10 files" in capsys.readouterr().err
    root = flatten.Root()
    apply(root, "a", 5)
    apply(root, "b", 5)
    with pytest.raises(SystemExit):
        apply(root, "c", 1)
    assert "the image has more than 10 files" in capsys.readouterr().err
