"""Layers and layouts of images, made from what is said of their files."""
import gzip
import hashlib
import io
import json
import platform
import tarfile

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def layer(entries):
    """entries: (name, kind, content or link target); kind one of file, folder, link, hard, device, setuid."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, content in entries:
            member = tarfile.TarInfo(name)
            member.mode = 0o755
            data = b""
            if kind == "folder":
                member.type = tarfile.DIRTYPE
            elif kind == "link":
                member.type, member.linkname = tarfile.SYMTYPE, content
            elif kind == "hard":
                member.type, member.linkname = tarfile.LNKTYPE, content
            elif kind == "device":
                member.type, member.devmajor, member.devminor = tarfile.CHRTYPE, 1, 3
            else:
                data = content if isinstance(content, bytes) else content.encode()
                member.size = len(data)
                member.mode = 0o4755 if kind == "setuid" else 0o755
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(out.getvalue())


def layout(layers, config):
    files = {"oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"})}

    def put(data):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        digest = hashlib.sha256(data).hexdigest()
        files[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    manifest = put({"schemaVersion": 2, "config": put({"architecture": ARCHITECTURE, "os": "linux", "config": config}), "layers": [put(x) for x in layers]})
    other = {"digest": "sha256:" + "0" * 64, "size": 1, "platform": {"os": "linux", "architecture": "s390x"}}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [other, {**manifest, "platform": {"os": "linux", "architecture": ARCHITECTURE}}]})
    return files
