#!/bin/sh
# Checks the shipped function: eval "$(skerry env hello-python)" sets FUNCTION_URL and the CA.
set -eu
answer=$(curl -fsS "${FUNCTION_URL}world")
case "$answer" in "hello from Python at /world, revision "*) echo ok ;; *) echo "unexpected answer: $answer" >&2; exit 1 ;; esac
