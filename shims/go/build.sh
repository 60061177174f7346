#!/bin/sh
# Runs in the Go build image as fn: SKERRY_SRC (read-only by convention) -> SKERRY_OUT/function, a static binary, and SKERRY_OUT/.skerry/revision.json.
. "$(dirname "$0")/modules.sh"
mkdir -p "$SKERRY_OUT/.skerry"
if [ -n "${SKERRY_DEPS:-}" ]; then
  GOPROXY="file://$SKERRY_DEPS/download,$(go env GOPROXY)"
  export GOPROXY
  if [ -d "$SKERRY_DEPS/cache" ]; then
    cp -r "$SKERRY_DEPS/cache/." "$GOCACHE"
  fi
fi
if [ -n "${SKERRY_BUILD_COMMAND:-}" ]; then
  sh -c "$SKERRY_BUILD_COMMAND"
fi
if [ -n "${SKERRY_OWN_SERVER:-}" ]; then
  # The author's own command is started in /app: it may name any file that is there.
  cp -r . "$SKERRY_OUT"
fi
if [ ! -f go.mod ]; then
  echo "go.mod is missing: \`go mod init example.com/name\` makes it" >&2
  exit 1
fi
# The generator is built outside of the project's module, with none of its settings.
(cd "$here" && GOWORK=off GOFLAGS=-buildvcs=false GOTOOLCHAIN=local go build -trimpath -ldflags=-s -o /tmp/skerry-generate ./generate)
shape=$(/tmp/skerry-generate "$here")
case "$shape" in
  server) package=. ;;
  handle) package=./skerry_main_generated ;;
  *) exit 1 ;;
esac
go build -trimpath -ldflags=-s -o "$SKERRY_OUT/function" "$package"
chmod 0755 "$SKERRY_OUT/function"
# The collector works harder near the limit instead of being killed at it.
limit=$((${SKERRY_MEMORY_MB:-256} * 9 / 10))
printf '{"entry":"function","shape":"%s","argv":["/app/function"],"env":["GOMAXPROCS=1","GOMEMLIMIT=%dMiB"]}\n' "$shape" "$limit" >"$SKERRY_OUT/.skerry/revision.json"
