#!/bin/sh
# Cargo's `runner`: runs each test program with its events as JSON, which stable Rust gives under this variable.
# A program without Rust's own harness is run as it is, and so is one that is asked for its tests, as cargo-nextest
# does before it runs each of them for itself, several at a time.
program=$1
shift
asked=$(printf '%s ' "$@" | grep -c -e '--list' -e '--format')
if [ -z "$OPENDEVAGENT_CARGO" ] || [ "$asked" != 0 ] || ! grep -qa __RUST_TEST_INVOKE "$program"; then
    exec "$program" "$@"
fi
name=${program##*/}
events=$(mktemp)
RUSTC_BOOTSTRAP=1 "$program" -Z unstable-options --format json "$@" > "$events"
status=$?
{ printf '{"type":"program","name":"%s"}\n' "${name%-*}"; cat "$events"; } > "$events.all"
cat "$events.all" >> "$OPENDEVAGENT_CARGO"
cat "$events"
exit $status
