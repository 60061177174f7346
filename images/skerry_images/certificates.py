"""The trust store of an image: what the maintainer scripts of ca-certificates and ca-certificates-java would make.

Made from the image's own copy of the Mozilla set, never from the machine's /etc/ssl: an operator's private CA is not the business
of a tenant's function.
"""
import base64
import hashlib
import os
import pathlib
import re
import shutil
import struct
import subprocess

from .errors import BuildError

MOZILLA = "usr/share/ca-certificates/mozilla"
CERTS = "etc/ssl/certs"
PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.S)
KEYSTORE_PASSWORD = "changeit"  # what Java and Debian use; a trust store holds no secret


def install(root: pathlib.Path) -> None:
    """/etc/ssl/certs: one file a certificate, OpenSSL's hash links, the bundle. The package's own folder goes: nothing reads it."""
    certs = root / CERTS
    certs.mkdir(parents=True, exist_ok=True)
    bundle = b""
    for source in sorted((root / MOZILLA).glob("*.crt"), key=lambda path: os.fsencode(path.name)):
        content = source.read_bytes()
        bundle += content if content.endswith(b"\n") else content + b"\n"
        # ASCII names only: a tar reader in the C locale refuses others.
        name = re.sub(r"[^A-Za-z0-9._+=-]", "_", source.stem.encode("ascii", "replace").decode())
        (certs / f"{name}.pem").write_bytes(content)
    if bundle.count(b"BEGIN CERTIFICATE") < 50:
        raise BuildError(f"{root / MOZILLA} has {bundle.count(b'BEGIN CERTIFICATE')} certificates: package ca-certificates is not what it was")
    shutil.rmtree(root / "usr/share/ca-certificates")
    rehash = subprocess.run(["openssl", "rehash", str(certs)], capture_output=True, text=True)
    if rehash.returncode != 0:
        raise BuildError(f"openssl rehash {certs}: {rehash.stderr.strip()}")
    (certs / "ca-certificates.crt").write_bytes(bundle)
    # Where Debian's OpenSSL looks. Only the hashed folder: it costs a lookup a connection, the bundle is parsed whole for each context.
    (root / "usr/lib/ssl").mkdir(parents=True, exist_ok=True)
    (root / "usr/lib/ssl/certs").symlink_to("../../../etc/ssl/certs")
    for path in certs.iterdir():
        if not path.is_symlink():
            path.chmod(0o644)


def write_java_keystore(root: pathlib.Path) -> None:
    """/etc/ssl/certs/java/cacerts in the JKS format, which every Java reads.

    Written here and not by keytool: 140 starts of a JVM take a minute, and keytool puts the present time into each entry.
    Format: magic, version 2, count; per entry tag 2, alias, time, "X.509", DER; then SHA-1 over password, a constant and all that.
    """
    certificates = PEM.findall((root / CERTS / "ca-certificates.crt").read_bytes())
    body = struct.pack(">III", 0xFEEDFEED, 2, len(certificates))
    for encoded in certificates:
        der = base64.b64decode(encoded)
        alias = f"skerry:{hashlib.sha256(der).hexdigest()[:32]}"
        body += struct.pack(">I", 2) + _utf(alias) + struct.pack(">q", 0) + _utf("X.509") + struct.pack(">I", len(der)) + der
    seal = hashlib.sha1(KEYSTORE_PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()
    target = root / CERTS / "java" / "cacerts"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(body + seal)


def _utf(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()
