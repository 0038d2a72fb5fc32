#!/bin/sh
# Prints how to start an editor for the tests, fetching it into the cache when missing: Helix and Emacs out of Debian's
# packages, and the Python that drives them with its packages from PyPI.
#   tests/editors/setup.sh helix|emacs|python
set -eu

here=$(dirname "$0")
case $1 in
  helix) exec "$here/../setup/debian.sh" trixie hx usr/lib/hx/hx ;;
  emacs) exec "$here/../setup/debian.sh" trixie emacs-nox usr/bin/emacs-nox ;;
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
