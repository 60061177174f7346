# Sourced by deps.sh and build.sh: a copy of the project at /tmp/work, and Go's settings for a build.
set -eu
here=$(dirname "$0")
. /skerry/build/reach.sh
export GOCACHE="${GOCACHE:-/var/cache/go-build}" GOMODCACHE="${GOMODCACHE:-/tmp/gomod}" CGO_ENABLED=0 GOTELEMETRY=off
export GOFLAGS="-buildvcs=false -modcacherw ${GOFLAGS:-}"
# The first go command of a day drops what it did not use and is older than five days: the image's whole cache. Today it has been done.
date +%s >"$GOCACHE/trim.txt"
work=/tmp/work
mkdir -p "$work"
cp -r "$SKERRY_SRC/." "$work"
cd "$work"
# Where go.mod asks for a newer Go, the go command fetches it like a module.
if [ -f go.mod ] && GOTOOLCHAIN=local go list -m 2>&1 | grep -q 'requires go >='; then
  newer=$(go env GOPROXY)
  reach "${newer%%[,|]*}"
fi
