"""A registry of a test's own (/v2/: manifests, blobs, tokens), good or hostile, on an address of this machine or in a network namespace that is made for it."""
import base64
import ctypes
import hashlib
import http.server
import json
import os
import subprocess
import threading
import urllib.parse

from image_files import ARCHITECTURE

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
USER, PASSWORD = "robot", "s3cret"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry:
    """`answers` maps a path below the server to a function(handler) that answers instead; `asked` is what came: (method, path, authorization)."""

    def __init__(self, address="127.0.0.1", password=False, tls=None, namespace=None):
        self.blobs, self.manifests, self.tags = {}, {}, {}
        self.password, self.answers, self.asked = password, {}, []
        self.server = self.listen(address, namespace)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.host = f"{address}:{self.server.server_address[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def listen(self, address, namespace):
        registry, made = self, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                registry.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        def make():  # a socket is born in the network namespace of the thread that makes it
            if namespace:
                fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
                if ctypes.CDLL(None).setns(fd, 0) != 0:
                    return
                os.close(fd)
            made.append(http.server.ThreadingHTTPServer((address, 0), Handler))

        maker = threading.Thread(target=make)
        maker.start()
        maker.join()
        made[0].daemon_threads = True
        return made[0]

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # ---- what it holds

    def blob(self, data, kind=LAYER, **other):
        self.blobs[digest_of(data)] = data
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data), **other}

    def manifest(self, value, kind):
        data = json.dumps(value).encode()
        self.manifests[digest_of(data)] = (kind, data)
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}

    def image(self, layers, config):
        """The manifest of an image; layers are bytes or descriptors."""
        described = self.blob(json.dumps({"architecture": ARCHITECTURE, "os": "linux", "config": config}).encode(), CONFIG)
        return self.manifest({"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": [x if isinstance(x, dict) else self.blob(x) for x in layers]}, MANIFEST)

    def index(self, *images):
        """images: (architecture, descriptor)."""
        return self.manifest({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**image, "platform": {"os": "linux", "architecture": of}} for of, image in images]}, INDEX)

    def tag(self, name, descriptor):
        self.tags[name] = descriptor["digest"]
        return descriptor["digest"]

    # ---- what it answers

    def answer(self, handler):
        parts = urllib.parse.urlsplit(handler.path)
        given = handler.headers.get("authorization")
        self.asked.append((handler.command, parts.path, given))
        if parts.path in self.answers:
            return self.answers[parts.path](handler)
        if parts.path == "/token":
            return self.token(handler, urllib.parse.parse_qs(parts.query), given)
        if self.password and given != "Bearer a-token":
            return send(handler, 401, b"", {"WWW-Authenticate": f'Bearer realm="{self.url}/token",service="fake"'})
        kind, name = parts.path.rsplit("/", 2)[1:]
        if kind == "manifests":
            found = self.manifests.get(self.tags.get(name, name))
            if found:
                return send(handler, 200, found[1], {"Content-Type": found[0], "Docker-Content-Digest": digest_of(found[1])})
        elif name in self.blobs:
            return send(handler, 200, self.blobs[name])
        send(handler, 404, b"{}")

    def token(self, handler, query, given):
        good = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if given != good or query.get("scope", [""])[0].split(":")[::2] != ["repository", "pull"]:
            return send(handler, 401, b"{}")
        send(handler, 200, json.dumps({"token": "a-token"}).encode())


def send(handler, status, body, headers=None):
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


class Outside:
    """A machine on the internet, played by a network namespace with an address of a documentation range: builds reach it as they reach any other."""

    def __init__(self, address="203.0.113.6", uplink="203.0.113.5"):
        self.address, self.name = address, "reg" + os.urandom(3).hex()
        self.ip("netns", "add", self.name)
        try:
            self.ip("link", "add", self.name + "h", "type", "veth", "peer", "name", "eth0", "netns", self.name)
            self.ip("addr", "add", uplink + "/30", "dev", self.name + "h")
            self.ip("link", "set", self.name + "h", "up")
            for command in (["addr", "add", address + "/30", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"]):
                self.ip("-n", self.name, *command)
        except subprocess.CalledProcessError:
            self.close()
            raise

    @staticmethod
    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)
