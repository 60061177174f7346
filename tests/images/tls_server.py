"""HTTPS servers for the image tests: brings up loopback in the namespace it was started in, listens on v4 and v6, prints its ports."""
import http.server
import json
import pathlib
import socket
import ssl
import subprocess
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"hello over tls"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    # Clients break off handshakes on purpose here.
    def handle_error(self, *_):
        pass


class Server6(Server):
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()


def serve(kind, address, folder, name):
    server = kind(address, Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    # The handshake belongs to the connection's thread, not to the accept loop.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    ports = {}
    for name in ("good", "bad"):
        ports[name] = serve(Server, ("127.0.0.1", 0), folder, name)
        serve(Server6, ("::1", ports[name]), folder, name)
    print(json.dumps(ports), flush=True)
    threading.Event().wait()


main()
