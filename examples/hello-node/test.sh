#!/bin/sh
# Checks the shipped function: eval "$(skerry env hello-node)" sets FUNCTION_URL and the CA.
set -eu
[ "$(curl -fsS "${FUNCTION_URL}world")" = "hello from Node.js at /world" ] || { echo "unexpected answer" >&2; exit 1; }
curl -fsS -H 'content-type: application/json' -d '{"a":1}' "$FUNCTION_URL" | grep -q '"received":{"a":1}' || { echo "the body did not arrive" >&2; exit 1; }
echo ok
