"""A resolver on this machine's loopback, UDP and TCP, that a test plays: known names have an address, `silent...` no answer, `late...` one after 2 s, `long...` one that only fits TCP, and
`spoofed...` a wrong one first, from another port and with another id."""
import contextlib
import socket
import struct
import threading
import time

ADDRESS = "203.0.113.9"  # TEST-NET-3
WRONG = "203.0.113.66"


def name_of(message):
    labels, at = [], 12
    while size := message[at]:
        labels.append(message[at + 1:at + 1 + size].decode())
        at += 1 + size
    return ".".join(labels), at + 5


def answer(message, address, records=1, id_=None, flags=0x8180):
    name, end = name_of(message)
    kind = struct.unpack(">H", message[end - 4:end - 2])[0]
    count = records if kind == 1 else 0
    head = struct.pack(">HHHHHH", struct.unpack(">H", message[:2])[0] if id_ is None else id_, flags, 1, count, 0, 0)
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
    return head + message[12:end] + record * count


class Resolver:
    def __init__(self):
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.port = self.udp.getsockname()[1]
        self.tcp = socket.socket()
        self.tcp.bind(("127.0.0.1", self.port))
        self.tcp.listen()
        self.asked = []  # (transport, name, source port, id)
        threading.Thread(target=self.serve_udp, daemon=True).start()
        threading.Thread(target=self.serve_tcp, daemon=True).start()

    def serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                message, peer = self.udp.recvfrom(4096)
                name, _ = name_of(message)
                self.asked.append(("udp", name, peer[1], message[:2]))
                if name.startswith("silent"):
                    continue
                if name.startswith("long"):
                    self.udp.sendto(answer(message, ADDRESS, 0, flags=0x8380), peer)
                    continue
                if name.startswith("late"):
                    threading.Timer(1.5, self.udp.sendto, (answer(message, ADDRESS), peer)).start()
                    continue
                if name.startswith("spoofed"):
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                        other.sendto(answer(message, WRONG), peer)
                    self.udp.sendto(answer(message, WRONG, id_=struct.unpack(">H", message[:2])[0] ^ 1), peer)
                    time.sleep(0.1)
                self.udp.sendto(answer(message, ADDRESS), peer)

    def serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self.tcp.accept()
                with connection:
                    size = struct.unpack(">H", connection.recv(2, socket.MSG_WAITALL))[0]
                    message = connection.recv(size, socket.MSG_WAITALL)
                    self.asked.append(("tcp", name_of(message)[0], peer[1], message[:2]))
                    reply = answer(message, ADDRESS, 100)
                    connection.sendall(struct.pack(">H", len(reply)) + reply)

    def close(self):
        for s in (self.udp, self.tcp):
            s.close()
