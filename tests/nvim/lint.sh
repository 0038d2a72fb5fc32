#!/bin/sh
# luacheck and stylua over the client and its specs; installs them when missing (as root, from apt
# and npm).
set -eu

cd "$(dirname "$0")/../../editors/nvim"
home="${XDG_CACHE_HOME:-$HOME/.cache}/opendevagent/stylua"
stylua=$(command -v stylua || echo "$home/node_modules/.bin/stylua")
command -v luacheck >/dev/null || apt-get install -y -q --no-install-recommends lua-check >&2
if [ ! -x "$stylua" ]; then
  mkdir -p "$home"
  npm install --silent --no-save --prefix "$home" @johnnymorganz/stylua-bin@2.5.2 >&2
fi
luacheck --no-color --quiet --config .luacheckrc . ../../tests/nvim
"$stylua" --check --config-path .stylua.toml . ../../tests/nvim
