#!/bin/sh
# Runs in the Go build image as fn, with the code mounted: downloads the modules that go.mod names, and compiles those packages of them that the
# code imports. Leaves `download` (a module proxy) and `cache` (what Go's build cache got). Nothing of the project is compiled or run.
exec 3>&1 1>&2
. "$(dirname "$0")/modules.sh"
cat >/dev/null
registries=$(go env GOPROXY)
downloaded=
for source in ${SKERRY_SOURCES:-}; do
  if GOPROXY="file://$source" GOSUMDB=off go mod download; then
    downloaded=1
    break
  fi
done
if [ -z "$downloaded" ]; then
  first=${registries%%[,|]*}
  reach "$first"
  # Go itself would wait for a silent server without end.
  go mod download &
  pid=$!
  quiet=0 last=
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    now=$(du -s -b "$GOMODCACHE" 2>/dev/null | cut -f1)
    if [ "$now" = "$last" ]; then quiet=$((quiet + 1)); else quiet=0; fi
    last=$now
    if [ "$quiet" -ge 10 ]; then
      kill "$pid"
      echo "the registry ${first#*://} does not answer: nothing came from it in 10 s" >&2
      exit 1
    fi
  done
  if ! wait "$pid"; then
    echo "go could not download what go.mod asks for (registry: ${first#*://})" >&2
    exit 1
  fi
fi
touch /tmp/compile-began
packages=$(go list -deps -f '{{if and (not .Standard) .Module}}{{if not .Module.Main}}{{.ImportPath}}{{end}}{{end}}' ./... || true)
if [ -n "$packages" ]; then
  # What does not compile is reported where it matters, by the build.
  echo "$packages" | xargs go build -trimpath -- || true
fi
mkdir -p "$GOMODCACHE/cache/download"
(cd "$GOCACHE" && find . -type f -newer /tmp/compile-began) >/tmp/compiled
tar -cf - --transform 's,^\./,cache/,' -C "$GOMODCACHE/cache" download -C "$GOCACHE" -T /tmp/compiled >&3
