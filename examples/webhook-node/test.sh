#!/bin/sh
# Checks the shipped function. The secret that it was given is in WEBHOOK_SECRET (default: test-secret); eval "$(skerry env webhook-node)" sets FUNCTION_URL.
set -eu
secret=${WEBHOOK_SECRET:-test-secret}
body='{"type":"ping",  "n": 1}'
signature=sha256=$(printf '%s' "$body" | openssl dgst -sha256 -hmac "$secret" | sed 's/.*= //')
post() { curl -sS -o /dev/null -w '%{http_code}' -H 'content-type: application/json' -H "x-signature-256: $2" -d "$1" "$FUNCTION_URL"; }
[ "$(post "$body" "$signature")" = 200 ] || { echo "a good signature was refused" >&2; exit 1; }
[ "$(post "$body " "$signature")" = 401 ] || { echo "another body was accepted" >&2; exit 1; }
[ "$(post "$body" "sha256=00")" = 401 ] || { echo "a bad signature was accepted" >&2; exit 1; }
echo ok
