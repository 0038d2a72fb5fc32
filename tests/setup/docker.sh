#!/usr/bin/env bash
# Gets a Docker engine running: installs Debian's docker.io when there is none, starts it when it is not running.
# What it cannot do itself it says, and ends with 1: without an engine nothing could be proven.
set -euo pipefail

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

give_up() {
  echo "the tests need a running Docker engine: $1" >&2
  exit 1
}

# Installs Debian packages, refreshing the lists only when they are too old to be of use.
install() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -qy --no-install-recommends "$@" ||
    { apt-get update -q && apt-get install -qy --no-install-recommends "$@"; }
}

# An engine that somebody started a moment ago may need a little.
wait_for_engine() {
  for _ in $(seq 60); do
    answers && return
    sleep 1
  done
  return 1
}

answers && exit
[ -z "${DOCKER_HOST:-}" ] || give_up "DOCKER_HOST is $DOCKER_HOST, but nothing answers there"
if ! command -v dockerd >/dev/null || ! command -v debootstrap >/dev/null; then
  command -v apt-get >/dev/null || give_up "install Docker (https://docs.docker.com/engine/install/) and start it"
  [ "$(id -u)" = 0 ] || give_up "run 'sudo apt-get install docker.io debootstrap && sudo adduser $(id -un) docker', then log in again"
  # debootstrap makes the base image where none can be pulled.
  install docker.io debootstrap ca-certificates >&2
fi
[ "$(id -u)" = 0 ] || give_up "run 'sudo systemctl start docker', and 'sudo adduser $(id -un) docker' if it is not yours to use"

# Where there is systemd the package has started it; elsewhere nobody has.
answers && exit
if [ -d /run/systemd/system ]; then
  systemctl start docker || true
elif [ ! -e /var/run/docker.pid ] || ! kill -0 "$(cat /var/run/docker.pid)" 2>/dev/null; then
  rm -f /var/run/docker.pid
  log=${TMPDIR:-/tmp}/opendevagent-dockerd.log
  # It stays when the tests are done: the next run, and the user, want it too.
  setsid dockerd >"$log" 2>&1 </dev/null &
fi
wait_for_engine || { tail -n 20 "${log:-/dev/null}" >&2; give_up "it was started but does not answer"; }
