#!/bin/sh
# Runs in the Java build image as fn, with the code mounted: packages the project once, to learn what Maven, its plugins and the project ask for.
# Leaves `repository`. What does not compile is reported where it matters, by the build.
exec 3>&1 1>&2
. "$(dirname "$0")/maven.sh"
cat >/dev/null
if [ -z "${SKERRY_SOURCES:-}" ]; then
  # Where Maven would go: a mirror of the machine's settings, else the repository that its super POM names.
  central=$(sed -n 's/.*<url>\(http[^<]*\)<\/url>.*/\1/p' /skerry/build/settings.xml 2>/dev/null | tail -n 1)
  if ! grep -q '^ *<mirrorOf>' /skerry/build/settings.xml 2>/dev/null || [ -z "$central" ]; then
    central=$(unzip -p "$(ls /usr/share/maven/lib/maven-model-builder*.jar | head -n 1)" org/apache/maven/model/pom-4.0.0.xml | sed -n 's/.*<url>\(.*\)<\/url>.*/\1/p' | head -n 1)
  fi
  reach "$central"
fi
maven="$maven -Dmaven.repo.local=/tmp/repository"
if ! $maven -DskipTests package >/tmp/maven.log 2>&1; then
  if grep -qE 'Could not (resolve|transfer|find)|ResolutionException|Unresolveable|UnresolvableModel|Connection refused|timed out' /tmp/maven.log; then
    cat /tmp/maven.log
    exit 1
  fi
  echo "not everything that the build will ask for is known: the project does not package yet"
elif grep -q '<dependency>' pom.xml; then
  $maven dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/tmp/libraries || true
fi
mkdir -p /tmp/repository
tar -C /tmp --sort=name -cf - repository >&3
