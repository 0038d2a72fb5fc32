#!/bin/sh
# Prints how to start an editor for the tests, fetching it when it is missing: Helix and Emacs out of Debian's packages
# and the Python that drives them with its packages from PyPI, into the cache; lsp-mode as the folder of its packages.
# Kate, some 220 MB with what its window needs, is installed (as root, from apt); what is printed for it is the Python
# that can look at windows.
#   tests/editors/setup.sh helix|emacs|lsp-mode|kate|python
set -eu

here=$(dirname "$0")
case $1 in
  helix) exec "$here/../setup/debian.sh" trixie hx usr/lib/hx/hx ;;
  emacs) exec "$here/../setup/debian.sh" trixie emacs-nox usr/bin/emacs-nox ;;
  lsp-mode)
    found=$("$here/../setup/debian.sh" trixie elpa-lsp-mode usr/share/doc/elpa-lsp-mode/copyright)
    echo "${found%/doc/*}/emacs/site-lisp/elpa-src"
    ;;
  kate)
    python=/usr/bin/python3
    missing=
    for tool in kate xvfb-run xauth dbus-run-session import; do
      command -v "$tool" >/dev/null || missing=$tool
    done
    $python -c 'import gi; gi.require_version("Atspi", "2.0")' 2>/dev/null || missing=Atspi
    if [ -n "$missing" ]; then
      set -- kate xvfb xauth dbus imagemagick at-spi2-core gir1.2-atspi-2.0 python3-gi
      [ "$(id -u)" = 0 ] || { echo "$missing is missing; install $*" >&2; exit 1; }
      export DEBIAN_FRONTEND=noninteractive
      install="apt-get install -qq -y --no-install-recommends"
      { $install "$@" || { apt-get update -qq && $install "$@"; }; } >&2
    fi
    echo $python
    ;;
  python)
    home=${XDG_CACHE_HOME:-$HOME/.cache}/opendevagent/editors-python
    if [ ! -e "$home/ready" ]; then
      python3 -m venv "$home" >&2
      "$home/bin/pip" install --quiet --disable-pip-version-check pytest-lsp==1.0.1 pyte==0.8.2 >&2
      touch "$home/ready"
    fi
    echo "$home/bin/python"
    ;;
  *)
    echo "there is no recipe for $1" >&2
    exit 2
    ;;
esac
