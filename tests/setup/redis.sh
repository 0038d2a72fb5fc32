#!/bin/sh
# Makes sure that there is a redis-server to start, and openssl for its certificates; starts nothing.
set -eu

command -v redis-server >/dev/null && command -v openssl >/dev/null && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "redis-server or openssl is missing; install Redis and OpenSSL first" >&2
  exit 1
fi
apt-get -qq update
# The package would start a server of its own.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
trap 'rm -f /usr/sbin/policy-rc.d' EXIT
DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends openssl redis-server >/dev/null
