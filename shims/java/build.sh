#!/bin/sh
# Runs in the Java build image as fn: packages the project with Maven, takes what runs, and records how it is started.
. "$(dirname "$0")/maven.sh"
mkdir -p "$SKERRY_OUT/.skerry"
maven="$maven -Dmaven.repo.local=${SKERRY_DEPS:-/tmp}/repository"
if [ -n "${SKERRY_BUILD_COMMAND:-}" ]; then
  sh -c "$SKERRY_BUILD_COMMAND"
fi
# What has packaged once needs no network again; what a source has made necessary since (an annotation's processor) may.
run_maven() {
  if [ -f "${SKERRY_DEPS:-/tmp}/repository/.complete" ]; then
    if $maven -o "$@" >/tmp/maven.log 2>&1; then return 0; fi
    if ! grep -q 'offline mode' /tmp/maven.log; then
      cat /tmp/maven.log
      return 1
    fi
  fi
  trust_machine
  $maven "$@"
}
# shellcheck disable=SC2046  # goals and options are words
run_maven -DskipTests $(maven_goals)

heap=$((${SKERRY_MEMORY_MB:-256} * 6 / 10))
flags="\"-Xmx${heap}m\",\"-XX:+UseSerialGC\",\"-XX:TieredStopAtLevel=1\",\"-Xshare:auto\""
record() { printf '{"entry":"%s","shape":"%s","argv":[%s],"env":[%s]}\n' "$1" "$2" "$3" "$4" >"$SKERRY_OUT/.skerry/revision.json"; }

if [ -n "${SKERRY_OWN_SERVER:-}" ]; then
  # The author's own command is started in /app: it may name any file that is there.
  cp -r . "$SKERRY_OUT"
  record "" server "" ""
  exit 0
fi
if [ -f target/quarkus-app/quarkus-run.jar ]; then
  cp -r target/quarkus-app "$SKERRY_OUT/quarkus-app"
  record quarkus-app/quarkus-run.jar server "\"java\",$flags,\"-jar\",\"/app/quarkus-app/quarkus-run.jar\"" '"QUARKUS_HTTP_PORT=8080","QUARKUS_HTTP_HOST=0.0.0.0"'
  exit 0
fi
for jar in target/*.jar; do
  case "$jar" in *-sources.jar | *-javadoc.jar | *original-*) continue ;; esac
  [ -f "$jar" ] || continue
  if unzip -p "$jar" META-INF/MANIFEST.MF 2>/dev/null | grep -q '^Main-Class:' || (cd /tmp && rm -rf META-INF && jar xf "$work/$jar" META-INF/MANIFEST.MF 2>/dev/null && grep -q '^Main-Class:' META-INF/MANIFEST.MF); then
    cp "$jar" "$SKERRY_OUT/app.jar"
    record app.jar server "\"java\",$flags,\"-jar\",\"/app/app.jar\"" ''
    exit 0
  fi
done
if [ ! -f target/classes/functions/Function.class ]; then
  echo "none of target/quarkus-app/, a jar with Main-Class in target/, or a class functions.Function with void handle(HttpExchange) came out of the build" >&2
  exit 1
fi
mkdir -p "$SKERRY_OUT/classes" "$SKERRY_OUT/lib"
cp -r target/classes/. "$SKERRY_OUT/classes"
[ ! -d /tmp/libraries ] || cp /tmp/libraries/*.jar "$SKERRY_OUT/lib"
# The launcher moves the listening socket to standard input, where Java takes it over. The shim is a layer of its own (runtime.sh), and finds the code itself.
record functions.Function handler "\"sh\",\"-c\",\"exec \\\"\$@\\\" <&3 3<&-\",\"sh\",\"java\",$flags,\"-XX:SharedArchiveFile=/skerry-java/shim.jsa\",\"-jar\",\"/skerry-java/shim.jar\"" ''
