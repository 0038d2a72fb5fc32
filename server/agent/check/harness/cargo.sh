#!/bin/sh
# Cargo's `runner`: runs each test program with its events as JSON, which stable Rust gives under this variable.
# A program without Rust's own harness is run as it is.
program=$1
shift
if [ -z "$OPENDEVAGENT_CARGO" ] || ! grep -qa __RUST_TEST_INVOKE "$program"; then
    exec "$program" "$@"
fi
name=${program##*/}
printf '{"type":"program","name":"%s"}\n' "${name%-*}" >> "$OPENDEVAGENT_CARGO"
events=$(mktemp)
RUSTC_BOOTSTRAP=1 "$program" -Z unstable-options --format json "$@" > "$events"
status=$?
cat "$events" >> "$OPENDEVAGENT_CARGO"
cat "$events"
exit $status
