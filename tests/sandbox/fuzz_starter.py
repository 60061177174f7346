"""A hostile edge, or a hostile control: a client of starter that sends messages bent in every way from a fixed seed, and reads the plans that were accepted as
CONTRACT.md and DESIGN.md say, in its own words: what sandboxd's rules let pass, and these would not, is a finding."""
import contextlib
import ipaddress
import os
import random
import re
import select
import struct
import time

import sandbox as sb

EDGE, CONTROL = "edge", "control"
NUMBERS = (0, 1, 2, 15, 16, 0x7F, 0x80, 0xFF, 0x100, 1024, 1025, 4096, 4097, 16384, 16385, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MB = 1 << 20
# What may be asked for: of instances CONTRACT.md section 8, of jobs what compilers need.
MOST = {EDGE: {"cpu": 8000, "processes": 1024, "files": 4096}, CONTROL: {"cpu": 64000, "processes": 4096, "files": 16384}}
ID, DIGEST, HOSTNAME = re.compile(r"[0-9a-hjkmnp-tv-z]{26}"), re.compile(r"sha256:[0-9a-f]{64}"), re.compile(r"[a-z0-9-]{1,63}")


class Foreign(sb.Reader):
    """Strict: what is longer than what there is, is none."""

    def number(self, form):
        if self.at + struct.calcsize("<" + form) > len(self.raw):
            raise ValueError("too short")
        return super().number(form)

    def bytes(self, most):
        size = self.number("I")
        if size > most or self.at + size > len(self.raw):
            raise ValueError("text")
        self.at += size
        return self.raw[self.at - size:self.at]

    def list(self, most, each):
        count = self.number("I")
        if count > most:
            raise ValueError("list")
        return [self.bytes(each) for _ in range(count)]


def read_plan(raw):
    r = Foreign(raw)
    p = {"version": r.number("I"), "id": r.bytes(26), "label": r.bytes(128), "kind": r.number("B"), "isolation": r.number("B"), "layers": r.list(16, 80), "argv": r.list(256, 16384),
         "env": r.list(400, 16384), "cwd": r.bytes(4096), "hostname": r.bytes(63), "transport": r.number("B"), "port": r.number("H"), "network": r.number("B"),
         "runtime_layers": r.number("B"), "spare": r.number("B"), "secrets": r.number("B"), "memory": r.number("Q"), "scratch": r.number("Q"), "cpu": r.number("I"),
         "processes": r.number("I"), "files": r.number("I"), "disk": r.number("B"), "egress": r.bytes(2 * (1 + 64 * 23))}
    if r.at != len(raw):
        raise ValueError("more than a plan")
    return p


def read_rules(r):
    rules = []
    count = r.number("B")
    for _ in range(count):
        family, protocol, first, last = r.number("B"), r.number("B"), r.number("H"), r.number("H")
        address = bytes(r.number("B") for _ in range(16 if family else 4))
        network = ipaddress.ip_network((address, r.number("B")))  # refuses host bits
        if family > 1 or protocol > 2 or last < first or (first == 0 and last != 0):
            raise ValueError("rule")
        rules.append((family, protocol, first, last, address, network))
    covered = any(a != b and a[0] == b[0] and b[5].subnet_of(a[5]) and a[1] in (0, b[1]) and (a[2] == 0 or (0 < b[2] and a[2] <= b[2] and b[3] <= a[3])) for a in rules for b in rules)
    keys = [(*rule[:5], rule[5].prefixlen) for rule in rules]
    if count > 64 or covered or keys != sorted(set(keys)):
        raise ValueError("rules")
    return rules


def is_policy(raw):
    """In the one form that such a policy has; nothing at all is the internet."""
    r = Foreign(raw)
    with contextlib.suppress(ValueError):
        return not raw or (len(read_rules(r)) + len(read_rules(r)) > 0 and r.at == len(raw))
    return False


def may_start(role, raw, fds):
    """Whether this client may have that container: None, or what is wrong."""
    try:
        p = read_plan(raw)
        text = lambda value, form: form.fullmatch(value.decode("ascii")) is not None
        job = p["kind"] == 1
        names = [entry.partition(b"=")[0] for entry in p["env"]]
        rules = {
            "version": p["version"] == 5, "id": text(p["id"], ID), "kind": p["kind"] == (1 if role == CONTROL else 0), "isolation": p["isolation"] == 0,
            "layers": p["layers"] and all(text(layer, DIGEST) for layer in p["layers"]), "argv": p["argv"] and p["argv"][0] and not any(b"\0" in a for a in p["argv"]),
            "env": all(b"=" in entry and not entry.startswith(b"=") and b"\0" not in entry for entry in p["env"]), "cwd": p["cwd"].startswith(b"/") and b"\0" not in p["cwd"],
            "label": b"\0" not in p["label"], "hostname": text(p["hostname"], HOSTNAME), "transport": p["transport"] == 0 if job else p["transport"] in (1, 2),
            "port": (p["port"] != 0) == (p["transport"] == 2), "network": p["network"] <= 1, "runtime layers": p["runtime_layers"] <= (len(p["layers"]) if p["transport"] == 1 else 0),
            "spare": p["spare"] == 0, "secrets": p["secrets"] <= (0 if job else 1), "memory": 16 * MB <= p["memory"] <= (3072 if job else 512) * MB,
            "scratch": 4096 <= p["scratch"] <= 1 << 40, "cpu": 10 <= p["cpu"] <= MOST[role]["cpu"], "processes": 2 <= p["processes"] <= MOST[role]["processes"],
            "disk's size": not p["disk"] or (p["scratch"] % MB == 0 and 16 * MB <= p["scratch"] <= 4096 * MB),
            "files": 16 <= p["files"] <= MOST[role]["files"], "disk": p["disk"] <= (0 if job else 1), "descriptors": fds == 1 + p["secrets"] + 3 * job,
            "egress": is_policy(p["egress"]) and not (p["egress"] and (job or p["network"] != 1)),
        }
        if not job:
            rules |= {"an instance's folder": p["cwd"] == b"/app", "its host name": p["hostname"] == b"i-" + p["id"][14:], "its network": p["network"] == 1, "its label": bool(p["label"]),
                      "a variable twice": len(set(names)) == len(names)}
        return next((name for name, good in rules.items() if not good), None)
    except (ValueError, UnicodeDecodeError) as why:
        return str(why)


class Hostile:
    """One role's client; `rounds` messages, then what it saw."""

    def __init__(self, path, layer, role, seed):
        self.path, self.layer, self.role, self.random = path, layer, role, random.Random(f"{seed} {role}")
        self.client, self.asked, self.live, self.findings = None, {}, set(), []
        self.counts = {"sent": 0, "refused": 0, "accepted": 0, "started": 0, "connections": 0}

    # -- what is sent

    def good_plan(self):
        id_ = "".join(self.random.choice(sb.ALPHABET[:8] if n == 0 else sb.ALPHABET) for n in range(26))
        if self.role == CONTROL:
            return id_, sb.plan(id_, [self.layer], ["/app/probe", "exit", "0"], kind=1, transport=0, cwd="/")
        more = self.random.choice([{}, {"transport": 2, "port": 8080}, {"runtime_layers": 1}, {"env": ["A=b", "C=d"]}, {"disk": True}, {"egress": sb.policy(["203.0.113.0/24:443"], ["203.0.113.7"])}])
        return id_, sb.plan(id_, [self.layer], ["/app/probe"], hostname="i-" + id_[14:], **more)

    def bend(self, raw):
        raw = bytearray(raw)
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 4])):
            at, count = self.random.randrange(len(raw) + 1), self.random.randrange(33)
            match self.random.randrange(6):
                case 0 if at < len(raw): raw[at] ^= 1 << self.random.randrange(8)
                case 1 if at < len(raw): raw[at] = self.random.randrange(256)
                case 2: del raw[at:at + count]
                case 3: raw[at:at] = raw[at:at + count]
                case 4: raw[at:at + 4] = struct.pack("<I", self.random.choice(NUMBERS))
                case 5 if self.random.random() < 0.2: del raw[at:]
        return bytes(raw)

    def descriptor(self):
        """Something that a client may hold, of every kind."""
        kind = self.random.randrange(5)
        if kind == 0:
            return os.open("/dev/null", os.O_RDWR)
        if kind == 1:
            return os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        if kind == 2:
            return os.open("/etc/hostname", os.O_PATH)
        if kind == 3:
            return sb.memfd(self.random.randbytes(64), seals=self.random.choice([0, 3, sb.SEALS]))
        read, write = os.pipe()
        os.close(self.random.choice([read, write]))
        return read if self.is_open(read) else write

    @staticmethod
    def is_open(fd):
        with contextlib.suppress(OSError):
            os.fstat(fd)
            return True
        return False

    def start(self):
        id_, raw = self.good_plan()
        raw = self.bend(raw)
        job = self.role == CONTROL
        fds = [sb.memfd(raw, seals=sb.SEALS if self.random.random() < 0.95 else self.random.randrange(16))]
        fds += [os.open("/dev/null", os.O_RDWR) for _ in range(3 if job else 0)] if self.random.random() < 0.8 else [self.descriptor() for _ in range(self.random.randrange(5))]
        request = self.counts["sent"]
        self.asked[request] = (raw, len(fds))
        self.send(struct.pack("<BQ", sb.START, request), fds)

    def other(self):
        """A message about a container of anybody's, a list, an order of spares, or noise."""
        id_ = self.random.choice([*self.live, sb.new_id(), "0" * 26, "../../../../etc/passwd"])
        order = struct.pack("<I", 1) + sb.text(sb.plan(sb.new_id(), [self.layer], ["/app/probe"], env=["PATH=/bin", "SKERRY_ASSIGNMENT_FD=5"], label="spare", hostname="spare",
                                                       runtime_layers=1, spare=True)) + struct.pack("<B", self.random.choice([0, 1, 2, 255]))
        kinds = [(struct.pack("<B", sb.SIGNAL) + sb.text(id_) + struct.pack("<B", self.random.randrange(3)), []), (struct.pack("<BQ", sb.SET_FROZEN, 1) + sb.text(id_) + b"\1", []),
                 (struct.pack("<BQ", sb.MORE_SOCKETS, 1) + sb.text(id_) + struct.pack("<B", self.random.choice([0, 1, 8, 9])), []), (struct.pack("<BQ", sb.LIST, 1), []),
                 (struct.pack("<BQ", sb.GET_USAGE, 1) + sb.text(id_), []), (struct.pack("<BQ", sb.KEEP_SPARES, 1), [sb.memfd(self.bend(order))]),
                 (self.random.randbytes(self.random.randrange(1, 200)), []), (b"\0" * 70000, [])]
        raw, fds = self.random.choice(kinds)
        self.send(self.bend(raw) if len(raw) < 1000 else raw, [*fds, *(self.descriptor() for _ in range(self.random.choice([0, 0, 0, 1, 20])))])

    def send(self, raw, fds):
        try:
            if raw:
                self.client.send(raw, fds)
                self.counts["sent"] += 1
        except OSError:  # too long for the socket, or the connection is over
            self.connect()
        finally:
            for fd in fds:
                os.close(fd)

    # -- what is heard

    def hear(self):
        while self.client and select.select([self.client.socket], [], [], 0)[0]:
            try:
                self.take(self.client.receive())
            except (ConnectionError, struct.error):
                self.connect()

    def take(self, m):
        for fd in m["fds"]:
            os.close(fd)
        if m["type"] == sb.REFUSED:
            self.counts["refused"] += 1
            self.asked.pop(m["request"], None)
        if m["type"] in (sb.STARTED, sb.START_FAILED) and m["request"] in self.asked:
            raw, fds = self.asked.pop(m["request"])
            self.counts["accepted"] += 1
            if wrong := may_start(self.role, raw, fds):
                self.findings.append(f"{self.role} got a container with a wrong {wrong}: {raw.hex()}")
        if m["type"] == sb.STARTED:
            self.counts["started"] += 1
            self.live.add(m["id"])
            self.client.send(struct.pack("<B", sb.SIGNAL) + sb.text(m["id"]) + b"\1")
        if m["type"] == sb.EXITED:
            self.live.discard(m["id"])

    def connect(self):
        """Sometimes in the middle of everything: jobs end, and instances are told to whoever comes next."""
        if self.client:
            self.client.close()
        self.asked.clear()  # what waits is dropped with the connection
        self.client = sb.Client(self.path)
        self.counts["connections"] += 1

    def run(self, rounds, until=None):
        self.connect()
        while self.counts["sent"] < rounds and not (until and until()):
            (self.start if self.random.random() < 0.6 else self.other)()
            if len(self.live) + len(self.asked) > 40:
                select.select([self.client.socket], [], [], 1)
            self.hear()
            if self.random.random() < 0.005:
                self.connect()
        end = sb.in_time(20)
        while self.asked and time.monotonic() < end:  # what was accepted is judged to the last
            select.select([self.client.socket], [], [], 1)
            self.hear()
        self.client.close()
