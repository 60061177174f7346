#!/bin/sh
# Checks the shipped function: eval "$(skerry env hello-ts)" sets FUNCTION_URL and the CA.
set -eu
url=${FUNCTION_URL%/}
fail() { echo "$1" >&2; exit 1; }
[ "$(curl -fsS "$url/?name=Ada")" = '{"message":"Hello, Ada!"}' ] || fail "unexpected greeting"
[ "$(printf 'a\nb\nc' | curl -fsS --data-binary @- -H 'transfer-encoding: chunked' "$url/count")" = '{"bytes":5,"lines":2}' ] || fail "the stream was not counted"
[ "$(curl -fsS -N "$url/countdown?from=2" | tr -d '\n')" = 'data: 2data: 1data: 0' ] || fail "unexpected events"
[ "$(curl -sS -o /dev/null -w '%{http_code}' "$url/other")" = 404 ] || fail "an unknown path was answered"
echo ok
