#!/usr/bin/env bash
# Prints the path of a Chromium, which it installs where it may: $CHROMIUM, else the first on PATH.
set -euo pipefail

find_browser() {
  command -v "${CHROMIUM:-chromium}" || command -v chromium-browser || command -v google-chrome
}

if ! find_browser >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "no Chromium found: install it, or name a Chrome in CHROMIUM" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  install=(apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core)
  { "${install[@]}" || { apt-get update -qq && "${install[@]}"; }; } >&2
fi
find_browser
