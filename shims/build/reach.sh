# Sourced by the scripts of the stage `deps`, mounted at /skerry/build: says within seconds, by name, that a registry does not answer, where the
# tools themselves would wait for minutes.
REACH_S=8

# reach URL: nothing when a connection to it (or to the proxy that leads to it) can be made, else a line on standard error and exit 1.
reach() {
  case "$1" in
    https://*) reach_proxy=${HTTPS_PROXY:-${https_proxy:-}} reach_port=443 ;;
    http://*) reach_proxy=${HTTP_PROXY:-${http_proxy:-}} reach_port=80 ;;
    *) return 0 ;;
  esac
  reach_host=${1#*://}
  reach_host=${reach_host%%/*}
  reach_host=${reach_host##*@}
  reach_name=${reach_host%%:*}
  case ",${NO_PROXY:-${no_proxy:-}}," in *",$reach_name,"* | *",*,"*) reach_proxy= ;; esac
  reach_via=
  if [ -n "$reach_proxy" ]; then
    reach_host=${reach_proxy#*://}
    reach_host=${reach_host%%/*}
    reach_host=${reach_host##*@}
    reach_port=3128 reach_via=" through the proxy $reach_host"
  fi
  case "$reach_host" in *:*) reach_port=${reach_host##*:} ;; esac
  if ! timeout "$REACH_S" bash -c "exec 9<>/dev/tcp/${reach_host%%:*}/$reach_port" 2>/dev/null; then
    echo "the registry $reach_name$reach_via does not answer: no connection to ${reach_host%%:*} port $reach_port within $REACH_S s" >&2
    exit 1
  fi
}
