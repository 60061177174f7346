#!/bin/sh
# Checks the shipped function: eval "$(skerry env invoice-java)" sets FUNCTION_URL and the CA. Needs curl.
set -eu
url=${FUNCTION_URL%/}
fail() { echo "$1" >&2; exit 1; }
out=$(mktemp)
trap 'rm -f "$out"' EXIT
post() { curl -sS -o "$out" -w '%{http_code}' -H 'content-type: application/json' -d "$1" "$url/"; }
says() { tr -d ' \n' <"$out" | grep -qF "$1"; }

# 3 x 0.335 = 1.005, which is 1.01 in decimals and 1.00 in binary floating point; tax is rounded once for each rate.
order='{"customer":"Ada","lines":[{"text":"pens","quantity":3,"price":0.335,"taxPercent":19},{"text":"ink","quantity":2,"price":9.99,"taxPercent":19.0},{"text":"book","quantity":1,"price":20,"taxPercent":7}]}'
[ "$(post "$order")" = 200 ] || fail "an order was refused: $(cat "$out")"
says '"net":40.99,"taxes":[{"percent":7,"net":20.00,"tax":1.40},{"percent":19,"net":20.99,"tax":3.99}],"gross":46.38' || fail "a wrong sum: $(cat "$out")"
[ "$(post '{"customer":"Ada","lines":[]}')" = 422 ] && says 'lines:' || fail "an order without lines was taken"
[ "$(post '{"customer":"Ada","lines":[{"text":"pen","quantity":1e999999999,"price":1,"taxPercent":0}]}')" = 422 ] && says 'lines[0].quantity' || fail "1e999999999 pens were sold"
[ "$(post '{"customer":"Ada","discount":100}')" = 400 ] && says 'discount' || fail "an unknown field was taken"
[ "$(post '{"customer":')" = 400 ] || fail "half a document was taken"
[ "$(curl -sS -o /dev/null -w '%{http_code}' "$url/")" = 405 ] || fail "GET was answered"
echo ok
