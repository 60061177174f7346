#!/bin/sh
# runtime.sh FOLDER: what a Java function needs beside its own code, made once for a version of Java: the shim in a jar, what it is warmed with, and an archive
# of the classes that both load. The archive is good at this path and for this java alone. The library lies in
# FOLDER already, or beside this script, where the builder puts it.
set -eu
here=$(dirname "$0")
out=$1
made=$(mktemp -d)
[ -f "$out/skerry-java.so" ] || cp "$here/skerry-java.so" "$out"
quick="-J-Xshare:auto -J-XX:TieredStopAtLevel=1"
# shellcheck disable=SC2086  # flags are words
javac $quick -XDstringConcat=inline -XDignore.symbol.file -d "$made/shim" "$here"/skerry/*.java
printf 'Main-Class: skerry.Shim\nAdd-Opens: java.base/java.io java.base/jdk.internal.loader\n' >"$made/manifest"
jar --create --no-compress --file "$out/shim.jar" --manifest "$made/manifest" -C "$made/shim" .
mkdir -p "$out/warm/classes"
# shellcheck disable=SC2086
javac $quick -d "$out/warm/classes" "$here"/warm/warm/*.java
jar --create --no-compress --file "$out/warm/code.jar" -C "$out/warm/classes" .
rm -rf "$made"
# A spare that nobody wants: it warms itself, reads the end, and exits.
SKERRY_ASSIGNMENT_FD=5 java -XX:ArchiveClassesAtExit="$out/shim.jsa" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xlog:cds=error -Xlog:cds+dynamic=error \
  -jar "$out/shim.jar" </dev/null 4>/dev/null 5</dev/null
