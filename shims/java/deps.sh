#!/bin/sh
# Runs in the Java build image as fn, with the code mounted: packages the project once, to learn what Maven, its plugins and the project ask for.
# Leaves `repository`. What does not compile is reported where it matters, by the build.
exec 3>&1 1>&2
. "$(dirname "$0")/maven.sh"
cat >/dev/null
trust_machine
if [ -z "${SKERRY_SOURCES:-}" ]; then
  # Where Maven would go: a mirror of the machine's settings (their comments are full of examples), else what its super POM names.
  central=
  if [ -f /skerry/build/settings.xml ]; then
    central=$(tr '\n' ' ' </skerry/build/settings.xml | sed -e 's/<!--\([^-]\|-[^-]\)*-->//g' -e 's/<mirror>/\n&/g' |
      sed -n '/<mirrorOf> *\(\*\|external:\*\|[^<]*central\)/s/.*<url> *\([^< ]*\).*/\1/p' | head -n 1)
  fi
  if [ -z "$central" ]; then
    central=$(unzip -p /usr/share/maven/lib/maven-model-builder-3.x.jar org/apache/maven/model/pom-4.0.0.xml | sed -n 's/.*<url>\(.*\)<\/url>.*/\1/p' | head -n 1)
  fi
  reach "$central"
fi
maven="$maven -Dmaven.repo.local=/tmp/repository"
# shellcheck disable=SC2046  # goals and options are words
if ! $maven -DskipTests $(maven_goals) >/tmp/maven.log 2>&1; then
  if grep -qE 'Could not (resolve|transfer|find)|ResolutionException|Unresolveable|UnresolvableModel|Connection refused|timed out' /tmp/maven.log; then
    cat /tmp/maven.log
    exit 1
  fi
  echo "not everything that the build will ask for is known: the project does not package yet"
else
  touch /tmp/repository/.complete
fi
mkdir -p /tmp/repository
tar -C /tmp --sort=name -cf - repository >&3
