# Sourced by deps.sh and build.sh: a copy of the project at /tmp/work, and Maven with this machine's repositories and timeouts. Before it may go online: trust_machine.
set -eu
here=$(dirname "$0")
. /skerry/build/reach.sh
work=/tmp/work
mkdir -p "$work"
cp -r "$SKERRY_SRC/." "$work"
cd "$work"
if [ ! -f pom.xml ]; then
  echo "pom.xml is missing" >&2
  exit 1
fi
export MAVEN_OPTS="-Djavax.net.ssl.trustStore=/tmp/trust.p12 -Djavax.net.ssl.trustStorePassword=changeit -Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# Takes 0.8 s, which a build that has everything does not pay.
trust_machine() { java -Xshare:auto -XX:TieredStopAtLevel=1 "$here/MakeTrust.java" /skerry/build/ca.pem /tmp/trust.p12 changeit; }

# Local folders come before the repositories; a proxy of the environment is Maven's too.
proxy_xml() { # protocol URL
  [ -n "$2" ] || return 0
  via=${2#*://} via=${via%%/*} via=${via##*@}
  port=${via##*:}
  [ "$port" != "$via" ] || port=3128
  except=$(printf %s "${NO_PROXY:-${no_proxy:-}}" | tr , '|')
  echo "<proxy><id>$1</id><active>true</active><protocol>$1</protocol><host>${via%%:*}</host><port>$port</port><nonProxyHosts>$except</nonProxyHosts></proxy>"
}
repositories() { # element
  number=0
  for source in ${SKERRY_SOURCES:-}; do
    echo "<$1><id>skerry-source-$number</id><url>file://$source</url></$1>"
    number=$((number + 1))
  done
}
cat >/tmp/settings.xml <<END
<settings><proxies>$(proxy_xml https "${HTTPS_PROXY:-${https_proxy:-}}")$(proxy_xml http "${HTTP_PROXY:-${http_proxy:-}}")</proxies>
<profiles><profile><id>skerry</id><repositories>$(repositories repository)</repositories><pluginRepositories>$(repositories pluginRepository)</pluginRepositories></profile></profiles>
<activeProfiles><activeProfile>skerry</activeProfile></activeProfiles></settings>
END
maven="mvn -B -q -Dstyle.color=never -s /tmp/settings.xml -Dmaven.wagon.http.connectionTimeout=6000 -Dmaven.wagon.http.readTimeout=8000 -Dmaven.wagon.rto=8000 -Dmaven.wagon.http.retryHandler.count=0 -Daether.connector.connectTimeout=6000 -Daether.connector.requestTimeout=8000"
[ ! -f /skerry/build/settings.xml ] || maven="$maven -gs /skerry/build/settings.xml"
[ ! -f .mvn/settings.xml ] || maven="$maven -s .mvn/settings.xml"
# One run of Maven for all: each costs a JVM's start and the reading of the project.
maven_goals() {
  echo package
  ! grep -q '<dependency>' pom.xml || echo dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/tmp/libraries
}
