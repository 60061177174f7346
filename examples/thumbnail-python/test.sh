#!/bin/sh
# Checks the shipped function: eval "$(skerry env thumbnail-python)" sets FUNCTION_URL and the CA. Needs curl and python3 (to make an image).
set -eu
url=${FUNCTION_URL%/}
fail() { echo "$1" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A PNG of 600 x 300 pixels, and one that says it has 100,000 x 100,000.
python3 - "$work" <<'PY'
import struct, sys, zlib
def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
def png(width, height, rows):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
open(sys.argv[1] + "/in.png", "wb").write(png(600, 300, b"".join(b"\0" + bytes([y % 256, 80, 160]) * 600 for y in range(300))))
open(sys.argv[1] + "/bomb.png", "wb").write(png(100_000, 100_000, b"\0" * 1000))
PY
post() { curl -sS -o "$work/out" -D "$work/head" -w '%{http_code}' --data-binary "@$1" "$url/$2"; }
header() { tr -d '\r' <"$work/head" | sed -n "s/^$1: //Ip"; }
begins() { [ "$(head -c "$2" "$work/out" | od -An -tx1 | tr -d ' \n')" = "$1" ]; }

[ "$(post "$work/in.png" '?width=120')" = 200 ] || fail "an image was refused: $(cat "$work/out")"
[ "$(header content-type)" = image/jpeg ] && [ "$(header x-image-size)" = 120x60 ] && begins ffd8ff 3 || fail "not a JPEG of 120x60: $(cat "$work/head")"
[ "$(post "$work/in.png" '?width=100&height=20&format=webp')" = 200 ] && [ "$(header x-image-size)" = 40x20 ] && begins 52494646 4 || fail "not a WebP of 40x20"
cp "$work/out" "$work/small.webp"
[ "$(post "$work/small.webp" '?width=10&format=png')" = 200 ] && begins 89504e47 4 || fail "its own answer was not read"
[ "$(post "$work/in.png" '?width=0')" = 400 ] && grep -q 'width must be' "$work/out" || fail "a width of 0 was taken"
[ "$(post "$work/in.png" '?format=bmp')" = 400 ] || fail "an unknown format was taken"
[ "$(post "$work/bomb.png" '')" = 413 ] || fail "a decompression bomb was unpacked"
[ "$(post "$0" '')" = 415 ] || fail "a script was taken for an image"
[ "$(curl -sS -o /dev/null -w '%{http_code}' "$url/")" = 405 ] || fail "GET was answered"
echo ok
