#!/bin/sh
# Checks the shipped function: eval "$(skerry env hello-java)" sets FUNCTION_URL and the CA.
set -eu
answer=$(curl -fsS "${FUNCTION_URL}world")
[ "$answer" = "hello from Java at /world" ] || { echo "unexpected answer: $answer" >&2; exit 1; }
echo ok
