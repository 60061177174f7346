#!/bin/sh
# Checks the shipped function: eval "$(skerry env orders-go)" sets FUNCTION_URL and the CA. Needs curl.
set -eu
url=${FUNCTION_URL%/}
fail() { echo "$1" >&2; exit 1; }
out=$(mktemp)
trap 'rm -f "$out" "$out.head"' EXIT
json='content-type: application/json'
call() { method=$1 path=$2; shift 2; curl -sS -o "$out" -D "$out.head" -w '%{http_code}' -X "$method" "$@" "$url$path"; }
header() { tr -d '\r' <"$out.head" | sed -n "s/^$1: //Ip"; }

[ "$(call POST /orders -H "$json" -d '{"customer":"Ada","lines":[{"article":"pen","quantity":3,"cents":250},{"article":"ink","quantity":1,"cents":1000}]}')" = 201 ] || fail "an order was refused: $(cat "$out")"
grep -q '"total_cents":1750' "$out" || fail "a wrong total: $(cat "$out")"
path=$(header location)
[ "$(call GET "$path")" = 200 ] && grep -q '"customer":"Ada"' "$out" || fail "the order is gone"
tag=$(header etag)
[ "$(call GET "$path" -H "if-none-match: $tag")" = 304 ] || fail "its ETag was not known"
[ "$(call GET /orders)" = 200 ] && grep -q "${path#/orders/}" "$out" || fail "the order is not in the list"
[ "$(call DELETE "$path")" = 204 ] && [ "$(call GET "$path")" = 404 ] || fail "the order was not removed"
[ "$(header content-type)" = application/problem+json ] || fail "a refusal that is no problem+json"
[ "$(call POST /orders -H "$json" -d '{"customer":"Ada","lines":[{"article":"pen","quantity":0,"cents":1}]}')" = 422 ] && grep -q 'lines\[0\].quantity' "$out" || fail "a quantity of 0 was taken"
[ "$(call POST /orders -H "$json" -d '{"customer"')" = 400 ] || fail "half a document was taken"
[ "$(call POST /orders -H 'content-type: text/plain' -d '{}')" = 415 ] || fail "text/plain was taken"
head -c 70000 /dev/zero | tr '\0' ' ' >"$out.large"
[ "$(call POST /orders -H "$json" --data-binary "@$out.large")" = 413 ] || fail "a large body was taken"
rm -f "$out.large"
[ "$(call PUT /orders)" = 405 ] || fail "PUT was answered"
echo ok
