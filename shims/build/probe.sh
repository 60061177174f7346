#!/bin/bash
# Runs in a build image, on top of what a revision runs, for a function that is its own server: starts it (the arguments) and finds out which health
# path it answers (CONTRACT section 2). Leaves a tar with one file, `health`: the path, or nothing. A server that needs what a build does not have
# (a secret, a database) may well not start here; that is no error.
exec 3>&1 1>&2
mkdir -p /tmp/probe
: >/tmp/probe/health
finish() {
  tar -C /tmp/probe -cf - health >&3
  exit 0
}
cd /app && "$@" 3>&- </dev/null >/dev/null 2>/tmp/probe/errors &
server=$!
host=
for _ in $(seq 1 100); do
  for address in 127.0.0.1 ::1; do
    if (exec 9<>"/dev/tcp/$address/$PORT") 2>/dev/null; then
      host=$address
      break 2
    fi
  done
  if ! kill -0 "$server" 2>/dev/null; then
    tail -n 3 /tmp/probe/errors
    echo "the server did not start in the build, so that no health path was looked for; [health] path names one"
    finish
  fi
  sleep 0.1
done
if [ -z "$host" ]; then
  echo "nothing listened on port $PORT within 10 s of the build, so that no health path was looked for; [health] path names one"
  finish
fi
ask() { # path: the status
  exec 9<>"/dev/tcp/$host/$PORT" || return
  printf 'GET %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n' "$1" >&9
  read -r -t 5 _ status _ <&9
  exec 9>&-
  echo "${status:-}"
}
for path in /health/readiness /health; do
  case "$(ask "$path" 2>/dev/null)" in
    2?? | 503)
      echo "$path is asked at each start"
      printf %s "$path" >/tmp/probe/health
      break
      ;;
  esac
done
finish
