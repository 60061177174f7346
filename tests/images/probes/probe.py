"""What a Python function may do with its image; prints what it saw as JSON. Arguments: good port, bad port."""
import ctypes
import http.client
import importlib
import importlib.util
import json
import socket
import sqlite3
import ssl
import subprocess
import sys
import time

GOOD, BAD = int(sys.argv[1]), int(sys.argv[2])
INSTANT = 1719792000  # 2024-07-01T00:00:00Z
# Not in a run image by intent: graphical ones, pip's seed, tests, and what belongs to other systems.
ABSENT = {"tkinter", "_tkinter", "turtle", "turtledemo", "idlelib", "antigravity", "this", "ensurepip", "msilib", "_msi", "msvcrt", "nt", "winreg", "winsound", "_winapi",
          "_wmi", "_overlapped", "_scproxy", "ossaudiodev", "_osx_support", "_aix_support", "nturl2path", "ntpath", "pydoc_data", "_android_support", "_ios_support",
          "_apple_support", "_pyrepl", "_gdbm", "_curses_panel"}


def fetch(host, port):
    connection = http.client.HTTPSConnection(host, port, timeout=20, context=ssl.create_default_context())
    connection.request("GET", "/")
    return connection.getresponse().read().decode()


def refused(host, port):
    try:
        return fetch(host, port)
    except ssl.SSLCertVerificationError as error:
        return f"refused: {error.verify_message}"


def local(zone):
    import os
    os.environ["TZ"] = zone
    time.tzset()
    return time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(INSTANT))


def missing_modules():
    missing = []
    for name in sorted(sys.stdlib_module_names - ABSENT):
        try:
            importlib.import_module(name)
        except ImportError as error:
            missing.append(f"{name}: {error}")
    return missing


library = ctypes.CDLL("libsqlite3.so.0")
library.sqlite3_libversion.restype = ctypes.c_char_p
bytecode = open(importlib.util.find_spec("email.message").cached, "rb").read(16)
print(json.dumps({
    "tls": fetch("localhost", GOOD), "untrusted": refused("localhost", BAD), "other_name": refused("127.0.0.1", GOOD),
    "v4": socket.getaddrinfo("localhost", 1, socket.AF_INET)[0][4][0], "v6": socket.getaddrinfo("localhost", 1, socket.AF_INET6)[0][4][0],
    "utc": local("UTC"), "berlin": local("Europe/Berlin"), "eastern": local("US/Eastern"),
    "library": library.sqlite3_libversion().decode() == sqlite3.sqlite_version,
    "bytecode_flags": int.from_bytes(bytecode[4:8], "little"), "missing_modules": missing_modules(),
    "shell": subprocess.run("echo $((6*7))", shell=True, capture_output=True, text=True, check=True).stdout.strip(),
}))
