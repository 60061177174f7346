"""A client of one registry, by the distribution protocol (/v2/): what a tag names now, manifests, blobs. pull.py uses it; it writes nothing but the files that it is told to.

Everything that a registry says is hostile: each answer has a bound, each blob its digest and size, each connection an address that builds may reach."""
import base64
import contextlib
import hashlib
import http.client
import ipaddress
import json
import re
import signal
import socket
import ssl
import urllib.parse
import urllib.request

ANSWER_S = 15  # from a question to the head of its answer: looking up the name, connecting, a token and redirects included
STALL_S = 15  # of a connection: between two pieces of a blob
MAX_REDIRECTS = 5
MAX_MANIFEST_BYTES = 4 << 20  # what registries themselves take
MAX_TOKEN_ANSWER_BYTES = 256 << 10
MAX_TOKEN_BYTES = 32 << 10
PIECE_BYTES = 1 << 20
ACCEPT = ", ".join(("application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
                    "application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json"))
# What the network of a build closes (src/sandboxd/firewall.cc), so that a closed address is said at once and by name instead of after a silence.
CLOSED = [ipaddress.ip_network(n) for n in ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16",
                                            "198.18.0.0/15", "224.0.0.0/3")]


class Refused(Exception):
    """What the author is told: the registry, and what it did."""


class Silence(Exception):
    """No OSError: what tries one address after the other must not take it for one of them failing."""


@contextlib.contextmanager
def answers_within(seconds, registry):
    def ring(*_):
        raise Silence
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except (Silence, TimeoutError):
        raise Refused(f"the registry {registry} does not answer") from None
    except socket.gaierror as error:
        raise Refused(f"the registry {registry} is not known: {error.strerror}") from None
    except ssl.SSLCertVerificationError as error:
        raise Refused(f"the registry {registry} shows a certificate that this machine does not trust: {error.verify_message}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Refused(f"the registry {registry} cannot be asked: {type(error).__name__}: {error}"[:500]) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def bounded(answer, limit, what):
    data = answer.read(limit + 1)
    if len(data) > limit:
        raise Refused(f"{what} is larger than {limit >> 10} KB")
    return data


class Registry:
    """settings: endpoint (host[:port]), repository, and of the daemon's configuration: plain_http and named (lists of hosts), auth, ca."""

    def __init__(self, settings):
        self.name, self.repository = settings["endpoint"], settings["repository"]
        # SECURITY: what the operator named is let through for who starts there: not for a strange registry that redirects to it.
        trusted = self.name in settings["named"]
        self.plain, self.named = (set(settings["plain_http"]), set(settings["named"])) if trusted else (set(), set())
        self.basic = basic_credentials(settings.get("auth"))
        self.authorization = None
        self.tls = ssl.create_default_context()  # SSL_CERT_FILE is the machine's
        if settings.get("ca"):
            self.tls.load_verify_locations(cadata=settings["ca"])

    # ---- what is asked

    def resolve(self, tag):
        """The digest that a tag names now. What it names is checked against it when it is pulled."""
        with answers_within(ANSWER_S, self.name):
            answer = self.get(f"manifests/{tag}", "HEAD", missing_ok=True)
            digest = answer.headers.get("Docker-Content-Digest", "") if answer else ""
            if re.fullmatch("sha256:[0-9a-f]{64}", digest):
                return digest
            return "sha256:" + hashlib.sha256(self.manifest_bytes(tag)).hexdigest()

    def manifest(self, digest):
        with answers_within(ANSWER_S, self.name):
            data = self.manifest_bytes(digest)
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            raise Refused(f"the registry {self.name} answers with a manifest that has not the digest {digest}")
        return data

    def manifest_bytes(self, name):
        return bounded(self.get(f"manifests/{name}"), MAX_MANIFEST_BYTES, f"the manifest {name}")

    def blob(self, digest, size, path):
        """Writes a blob to a file: exactly `size` bytes that have this digest."""
        with answers_within(ANSWER_S, self.name):
            answer = self.get(f"blobs/{digest}")
        declared = answer.headers.get("Content-Length")
        if declared is not None and declared != str(size):
            raise Refused(f"the registry {self.name} has {declared[:20]} bytes for {digest}; its manifest says {size}")
        got, sum_ = 0, hashlib.sha256()
        with open(path, "wb") as file:
            while got <= size:
                try:
                    piece = answer.read1(min(PIECE_BYTES, size + 1 - got))
                except TimeoutError:
                    raise Refused(f"the registry {self.name} does not answer any more, {got} of {size} bytes into {digest}") from None
                except (OSError, http.client.HTTPException) as error:
                    raise Refused(f"the registry {self.name} broke off, {got} of {size} bytes into {digest}: {type(error).__name__}") from None
                if not piece:
                    break
                got += len(piece)
                sum_.update(piece)
                file.write(piece)
        if got != size:
            raise Refused(f"the registry {self.name} sends {'more' if got > size else 'fewer'} than the {size} bytes that the manifest says of {digest}")
        if "sha256:" + sum_.hexdigest() != digest:
            raise Refused(f"the registry {self.name} sends bytes that have not the digest {digest}")

    # ---- questions and answers

    def get(self, path, method="GET", missing_ok=False):
        scheme = "http" if self.name in self.plain else "https"
        url = f"{scheme}://{self.name}/v2/{self.repository}/{path}"
        answer = self.ask(method, url, self.authorization)
        if answer.status == 401:
            self.authorization = self.authorize(answer.headers.get("WWW-Authenticate", ""))
            answer = self.ask(method, url, self.authorization)
        if answer.status == 200:
            return answer
        if missing_ok and answer.status in (404, 405):  # not every registry knows HEAD
            return None
        if answer.status in (401, 403):
            how = "with the credentials that the daemon's configuration has for it" if self.basic else "without credentials; [registries] auth_file in the daemon's configuration may name some"
            raise Refused(f"the registry {self.name} does not let `{self.repository}` be read {how} (it answers {answer.status})")
        kind, _, name = path.partition("/")
        wanted = f"{self.repository}{'@' if ':' in name else ':'}{name}"
        if answer.status == 404:
            raise Refused(f"the registry {self.name} has no `{wanted}`{' among its blobs' if kind == 'blobs' else ''} (it answers 404)")
        raise Refused(f"the registry {self.name} answers {answer.status} for `{wanted}`")

    def ask(self, method, url, authorization):
        for _ in range(MAX_REDIRECTS + 1):
            parts = urllib.parse.urlsplit(url)
            headers = {"Accept": ACCEPT, "Accept-Encoding": "identity", "User-Agent": "skerry"}
            if authorization:
                headers["Authorization"] = authorization
            answer = self.send(method, parts, headers)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            url = urllib.parse.urljoin(url, answer.headers.get("Location", ""))
            # SECURITY: credentials are for who asked for them; a redirect would hand them to another.
            if urllib.parse.urlsplit(url)[:2] != parts[:2]:
                authorization = None
        raise Refused(f"the registry {self.name} redirects more than {MAX_REDIRECTS} times")

    def send(self, method, parts, headers):
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.netloc in self.plain):
            raise Refused(f"the registry {self.name} leads to {parts.scheme}://{parts.netloc}, which is not https")
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        stream, through_proxy = self.connect(parts.scheme, host, port, parts.netloc in self.named)
        if parts.scheme == "https":
            stream = self.tls.wrap_socket(stream, server_hostname=host)
        elif through_proxy:
            path = f"http://{parts.netloc}{path}"
        connection = http.client.HTTPConnection(host, port)
        connection.sock = stream
        connection.request(method, path or "/", headers=headers)
        return connection.getresponse()

    def connect(self, scheme, host, port, named):
        """A connection to an address that is open to builds, or through the machine's proxy; and whether it is the latter."""
        proxy = urllib.request.getproxies().get(scheme)
        if proxy and not urllib.request.proxy_bypass(f"{host}:{port}"):
            if is_closed(host) and not named:
                raise Refused(f"{host} is an address that builds do not reach")
            at = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            tunnel = http.client.HTTPConnection(at.hostname, at.port or 80, timeout=STALL_S)
            if scheme == "https":
                tunnel.set_tunnel(host, port)
            tunnel.connect()
            return tunnel.sock, True
        found = [entry[4][0] for entry in socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)]
        # SECURITY: a reference, a redirect or a realm must not lead into the operator's networks. The firewall closes them; this says so. The
        # address that was looked at is the one that is connected to: a name that changes in between gains nothing.
        open_ = [address for address in found if named or not is_closed(address)]
        if not open_:
            raise Refused(f"{host} is at {found[0]}, an address that builds do not reach; [registries] in the daemon's configuration may name it")
        failed = None
        for address in open_:
            try:
                return socket.create_connection((address, port), STALL_S), False
            except OSError as error:
                failed = error
        raise failed

    def authorize(self, challenge):
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic" and self.basic:
            return self.basic
        told = dict(re.findall(r'([a-z]+)="([^"]*)"', rest))
        if kind.lower() != "bearer" or not told.get("realm"):
            return None
        asked = {"service": told.get("service", ""), "scope": f"repository:{self.repository}:pull"}
        answer = self.ask("GET", told["realm"] + ("&" if "?" in told["realm"] else "?") + urllib.parse.urlencode(asked), self.basic)
        if answer.status != 200:
            raise Refused(f"the registry {self.name} gives no token for `{self.repository}` (its {urllib.parse.urlsplit(told['realm']).hostname} answers {answer.status})")
        said = json.loads(bounded(answer, MAX_TOKEN_ANSWER_BYTES, f"the token of {self.name}"))
        token = said.get("token") or said.get("access_token") if isinstance(said, dict) else None
        if not isinstance(token, str) or len(token) > MAX_TOKEN_BYTES or not re.fullmatch(r"[!-~]+", token):
            raise Refused(f"the registry {self.name} gives a token that is none")
        return f"Bearer {token}"


def is_closed(host):
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return any(address in network for network in CLOSED)


def basic_credentials(entry):
    """An entry of `auths` in Docker's config.json: `auth`, or `username` and `password`."""
    if not entry:
        return None
    if entry.get("auth"):
        return "Basic " + entry["auth"]
    return "Basic " + base64.b64encode(f"{entry.get('username', '')}:{entry.get('password', '')}".encode()).decode()
