"""Hostile uploads: archives that try to get out, and requests that are not what they say."""
import gzip
import io
import json
import os
import tarfile

import pytest

GOOD = b"def new(): pass\n"


def archive(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name, data=b"", kind=tarfile.REGTYPE, link="", mode=0o644, device=(0, 0)):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    info.devmajor, info.devminor = device
    return info, data


ATTACKS = {
    "dotdot": [member("../../../../../../tmp/skerry-escaped", b"x")],
    "absolute": [member("/tmp/skerry-escaped", b"x")],
    "symlink-then-through-it": [member("out", kind=tarfile.SYMTYPE, link="/tmp"), member("out/skerry-escaped", b"x")],
    "hardlink-out": [member("passwd", kind=tarfile.LNKTYPE, link="/etc/passwd")],
    "hardlink-dotdot": [member("passwd", kind=tarfile.LNKTYPE, link="../../../../etc/passwd")],
    "device": [member("disk", kind=tarfile.BLKTYPE, device=(254, 0))],
    "fifo": [member("pipe", kind=tarfile.FIFOTYPE)],
    "setuid": [member("su", b"x", mode=0o4755)],
}


def ship(skerry, data, name):
    context = __import__("ssl").create_default_context(cafile=skerry.ca)
    headers = {"authorization": f"Bearer {skerry.token}", "content-type": "application/x-tar"}
    uploaded = skerry.request("localhost", skerry.api, context, "POST", "/v1/uploads", data, headers, raw=True)
    if uploaded.status != 201:
        return uploaded.status, json.loads(uploaded.text)["error"]
    body = json.dumps({"function": {"name": name}, "source": {"upload": json.loads(uploaded.text)["digest"]}, "language": "python", "config": {}})
    answer = skerry.request("localhost", skerry.api, context, "POST", "/v1/functions/ship", body, headers, raw=True)
    last = json.loads(answer.text.splitlines()[-1])
    return answer.status, last.get("error", last)


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_an_archive_cannot_get_out(skerry, attack):
    before = os.stat("/etc/passwd").st_nlink
    status, error = ship(skerry, archive(member("func.py", GOOD), *ATTACKS[attack]), "attack-" + attack.replace("-then-through-it", ""))
    assert error.get("code") in ("build_failed", "bad_request", "forbidden"), (status, error)
    assert not os.path.exists("/tmp/skerry-escaped")
    assert os.stat("/etc/passwd").st_nlink == before


def test_what_is_no_archive_is_named(skerry):
    status, error = ship(skerry, b"this is not a tar" * 100, "attack-noise")
    assert error["code"] in ("bad_request", "build_failed") and "tar" in error["message"]


def test_a_bomb_stops_at_the_bound(skerry):
    bomb = gzip.compress(archive(member("func.py", GOOD), member("zeros", bytes(260 << 20))), 9)
    status, error = ship(skerry, bomb, "attack-bomb")
    assert error["code"] in ("too_large", "build_failed") and "262144000 bytes" in error["message"], (status, error)


def test_an_upload_over_the_bound_is_refused(skerry):
    context = __import__("ssl").create_default_context(cafile=skerry.ca)
    headers = {"authorization": f"Bearer {skerry.token}"}
    data = os.urandom((50 << 20) + 1)
    answer = skerry.request("localhost", skerry.api, context, "POST", "/v1/uploads", data, headers, raw=True)
    assert answer.status == 413


@pytest.mark.parametrize("body,word", [("{", "JSON"), ('{"function":{"name":"../x"}}', "name"), ('{"function":{"name":"a"},"config":{"memory_mb":99999}}', "memory_mb"),
                                       ('{"function":{"name":"a"},"config":{"env":{"PORT":"1"}}}', "PORT"), ('{"function":{"name":"a"},"surprise":1}', "surprise"),
                                       ('{"function":{"name":"a"},"source":{"upload":"sha256:../../x"}}', "digest"), ("[" * 100, "JSON")])
def test_a_malformed_ship_request_is_refused_by_name(skerry, body, word):
    context = __import__("ssl").create_default_context(cafile=skerry.ca)
    answer = skerry.request("localhost", skerry.api, context, "POST", "/v1/functions/ship", body, {"authorization": f"Bearer {skerry.token}"}, raw=True)
    assert answer.status == 400 and word in json.loads(answer.text)["error"]["message"]
