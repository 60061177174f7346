# Sourced by deps.sh and prune.sh: the manifests from standard input (or the mounted code) at /app, and npm with the timeouts of a build.
set -eu
exec 3>&1 1>&2
here=$(dirname "$0")
. /skerry/build/reach.sh
export NPM_CONFIG_CACHE=/tmp/npm-cache
[ ! -f /skerry/build/npmrc ] || export NPM_CONFIG_USERCONFIG=/skerry/build/npmrc
npm_options="--no-audit --no-fund --no-update-notifier --fetch-timeout=8000 --fetch-retries=1 --fetch-retry-mintimeout=500 --fetch-retry-maxtimeout=1000 --loglevel=warn"
if [ -n "${SKERRY_SRC:-}" ]; then
  cat >/dev/null
else
  tar -C /app -xf -
fi
cd /app
node "$here/manifest.js" strip
