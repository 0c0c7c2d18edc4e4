#!/bin/sh
# Builds the examples, runs each with given arguments and input, and compares what it writes and its exit code with
# expected/<name>.txt. Ends with 1 at the first difference. `check.sh --write` writes the expected files anew.
set -eu
cd "$(dirname "$0")"
cargo build --quiet -p examples --bins
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
out=$(mktemp)
trap 'rm -f "$out"' EXIT
mode=${1:-}

# check NAME BINARY EXIT_CODE INPUT [ARGUMENT…]
check() {
    name=$1 binary=$2 wanted=$3 input=$4
    shift 4
    code=0
    printf "$input" | "$target/debug/$binary" "$@" >"$out" 2>/dev/null || code=$?
    if [ "$code" != "$wanted" ]; then
        echo "$name ended with $code, not $wanted" >&2
        exit 1
    fi
    if [ "$mode" = --write ]; then
        cp "$out" "expected/$name.txt"
    elif ! diff -u "expected/$name.txt" "$out"; then
        echo "$name differs" >&2
        exit 1
    fi
    echo "$name ok"
}

check mini_axon         mini_axon         0 ''
check simple_all        simple_all        0 ''
check simple_readme     simple_readme     0 ''
check synchronous_links synchronous_links 0 '' --virtual
check system_shutdown   system_shutdown   0 '' --virtual
check crasher_normal    crasher           0 '' 3
check crasher_immortal  crasher           0 '' 2
check crasher_mortal    crasher           1 '' 2 --mortal
