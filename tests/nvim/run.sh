#!/bin/sh
# Runs the Neovim client's specs, each in a Neovim of its own, and ends with the number of checks.
#   tests/nvim/run.sh [SPEC...]
set -eu

cd "$(dirname "$0")"
nvim=$(./setup.sh)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM

[ $# -gt 0 ] || set -- *_spec.lua
for spec in "$@"; do
  name=$(basename "$spec" _spec.lua)
  mkdir -p "$scratch/$name/home"
  # A home of its own keeps the user's configuration, state and key out of the tests.
  env -u OPENROUTER_API_KEY -u XDG_CONFIG_HOME -u XDG_STATE_HOME -u XDG_DATA_HOME \
    HOME="$scratch/$name/home" SPEC_DIR="$scratch/$name" NVIM_LOG_FILE="$scratch/$name/log" \
    timeout 120 "$nvim" --clean --headless -l "$spec" >"$scratch/$name.out" 2>"$scratch/$name.err" || {
    echo "FAIL ended early with status $?" >>"$scratch/$name.out"
    cat "$scratch/$name.err"
  }
  sed "s/^\(ok\|FAIL\) /\1 $name: /" "$scratch/$name.out"
done
passed=$(cat "$scratch"/*.out | grep -c '^ok ' || true)
failed=$(cat "$scratch"/*.out | grep -c '^FAIL ' || true)
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
