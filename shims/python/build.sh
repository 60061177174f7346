#!/bin/sh
# Runs in the Python build image as fn, only for a project with a build command: the command works on /app itself, with its dependencies at hand.
set -eu
cd "$SKERRY_OUT"
if [ -n "${SKERRY_DEPS:-}" ]; then
  export PATH="$SKERRY_DEPS/bin:$PATH"
fi
sh -c "$SKERRY_BUILD_COMMAND"
printf './.venv\n./venv\n' >/tmp/skerry-exclude
