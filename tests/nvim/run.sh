#!/bin/sh
# Runs the Neovim client's specs with busted inside a real Neovim, each file in one of its own, and ends with the
# number of tests. busted comes out of Debian's packages when it is missing.
#   tests/nvim/run.sh [VERSION [SPEC...]]      run.sh 0.10 tests/nvim/review_spec.lua
set -eu

cd "$(dirname "$0")"
nvim=$(./setup.sh "${1:-0.11}")
[ $# -eq 0 ] || shift
busted=$(../setup/debian.sh bookworm lua-busted usr/share/lua/5.1/busted/runner.lua)
lua=${busted%/busted/runner.lua}
modules=$(dirname "$(find "${lua%/share/lua/5.1}/lib" -name lfs.so -path '*/5.1/*' | head -n 1)")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM

"$nvim" --version | head -n 1
[ $# -gt 0 ] || set -- *_spec.lua
for spec in "$@"; do
  spec=$(basename "$spec")
  name=${spec%_spec.lua}
  mkdir -p "$scratch/$name/home"
  # A home of its own keeps the user's configuration, state and key out of the tests.
  env -u OPENROUTER_API_KEY -u XDG_CONFIG_HOME -u XDG_STATE_HOME -u XDG_DATA_HOME \
    HOME="$scratch/$name/home" SPEC_DIR="$scratch/$name" NVIM_LOG_FILE="$scratch/$name/log" \
    LUA_PATH="$PWD/?.lua;$lua/?.lua;$lua/?/init.lua;;" LUA_CPATH="$modules/?.so;;" \
    timeout 120 "$nvim" --clean --headless -l run.lua --output=TAP "$spec" \
    >"$scratch/$name.out" 2>"$scratch/$name.err" || true
  # busted ends with its plan; a Neovim that ended before it is a failure, too.
  grep -q '^1\.\.[1-9]' "$scratch/$name.out" || {
    echo "not ok 0 - $name: ended early" >>"$scratch/$name.out"
    cat "$scratch/$name.err"
  }
  cat "$scratch/$name.out"
done
passed=$(cat "$scratch"/*.out | grep -c '^ok ' || true)
failed=$(cat "$scratch"/*.out | grep -c '^not ok ' || true)
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
