# Shared by the scripts beside it: where things are, and how they speak.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Objects of one checkout serve another: paths below the root are cached relative to it.
export CCACHE_BASEDIR="$root" CCACHE_NOHASHDIR=1
prefix=/usr/local/lib/skerry
config=/etc/skerry/skerry.toml
run_dir=/run/skerry
lock=${SKERRY_LOCK:-/run/lock/skerry.lock}
state_dir=/var/lib/skerry

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Everything that changes the machine runs as root: directly, or through sudo.
need_root() {
  [ "$(id -u)" = 0 ] && return
  command -v sudo >/dev/null 2>&1 || die "this needs root: run it as root, or install sudo"
  exec sudo --preserve-env=HTTP_PROXY,HTTPS_PROXY,NO_PROXY,http_proxy,https_proxy,no_proxy,CYCLES "$0" "$@"
}

# A value out of the JSON on standard input: field KEY [KEY ...]. Fails where there is none.
field() {
  python3 -c 'import functools, json, sys; print(functools.reduce(lambda at, key: at[key], sys.argv[1:], json.load(sys.stdin)))' "$@"
}

# Two at once would install over each other. The lock is a parent's of the script (-o): what the script leaves running does not hold it.
one_at_a_time() {
  local code=0
  [ "${SKERRY_LOCKED:-}" = yes ] && return
  SKERRY_LOCKED=yes flock -n -o -E 75 "$lock" "$0" "$@" || code=$?
  [ "$code" != 75 ] || die "another \`make up\` or \`make down\` is running; wait for it to end"
  exit "$code"
}

# The pid of the skerryd that runs for our folder, or nothing.
skerryd_pid() {
  local pid
  pid=$(cat "$run_dir/skerryd.pid" 2>/dev/null) || return 0
  [ -n "$pid" ] && [ "$(readlink "/proc/$pid/exe" 2>/dev/null | sed 's/ (deleted)$//')" = "$prefix/bin/skerryd" ] && echo "$pid"
  return 0
}
