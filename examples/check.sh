#!/bin/sh
# Builds the examples, runs each with given arguments and input, and compares what it writes and its exit code with
# expected/<name>.txt. Ends with 1 at the first difference. `check.sh --write` writes the expected files anew.
set -eu
cd "$(dirname "$0")"
cargo build --quiet -p examples -p kamaelia-torrent --bins
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
out=$(mktemp)
trap 'rm -f "$out"' EXIT
mode=${1:-}
filter=cat

# check NAME BINARY EXIT_CODE INPUT [ARGUMENT…]
check() {
    name=$1 binary=$2 wanted=$3 input=$4
    shift 4
    code=0
    printf "$input" | "$target/debug/$binary" "$@" >"$out" 2>/dev/null || code=$?
    said=$($filter <"$out"; echo .)
    printf '%s' "${said%.}" >"$out"
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

# What threads write has no fixed order, and how often one says that it is waiting is a matter of time.
unordered() {
    awk '!/aiting/ || !seen[$0]++' | LC_ALL=C sort
}

# check_unordered NAME BINARY EXIT_CODE INPUT [ARGUMENT…]: as check, without the order.
check_unordered() {
    filter=unordered
    check "$@"
    filter=cat
}

check mini_axon         mini_axon         0 ''
check simple_all        simple_all        0 ''
check simple_readme     simple_readme     0 ''
check synchronous_links synchronous_links 0 '' --virtual
check system_shutdown   system_shutdown   0 '' --virtual
check crasher_normal    crasher           0 '' 3
check crasher_immortal  crasher           0 '' 2
check crasher_mortal    crasher           1 '' 2 --mortal
check_unordered graph_text_run      graph_text          0 'one\ntwo\n' graphs/capitals.graph
check graph_text_show   graph_text        0 '' graphs/capitals.graph --show
check simple_reading    simple_reading    0 '' reading.txt --virtual
check feedback          feedback          0 '' --rounds 14 --nap 0
check_unordered demo_shutdown       demo_shutdown       0 '' --tick 40
check_unordered linked_shutdown     linked_shutdown     0 '' --tick 40
check_unordered fail_shutdown       fail_shutdown       0 '' --tick 40 --for 25
check_unordered par_shutdown_simple par_shutdown_simple 0 '' --tick 40
check introspected      introspected      0 '' --summary
check reverser          reverser          0 'hello\nüber all\n\nlast line  \n'
check services          services          0 ''

# The philosophers eat in an order of their own, and check it themselves: the lines are compared sorted.
for name in philosophers axon_philosophers; do
    "$target/debug/$name" --meals 4 --speed 40 >"$out" 2>/dev/null || {
        echo "$name ended with $?" >&2
        exit 1
    }
    if [ "$mode" = --write ]; then
        LC_ALL=C sort "$out" >"expected/$name.txt"
    elif ! LC_ALL=C sort "$out" | diff -u "expected/$name.txt" -; then
        echo "$name differs" >&2
        exit 1
    fi
    echo "$name ok"
done

# What is shown has ports, which the system chooses.
ports() {
    sed -E 's/[0-9]{4,5}/N/g'
}
filter=ports
check fortune_cookie    fortune_cookie    0 '' --rate 100000 --command 'echo A fortune.'
check single_server     single_server     0 '' --rate 50
check simple_peer       simple_peer       0 '' --count 5
filter=cat
check command_line_echo command_line_echo 0 ''
sh ./check_net.sh
# The torrent examples: one shares a file through a tracker, the other downloads it. Progress differs from run to run,
# so what is compared is the payload, the answers and the last word of each.
work=$(mktemp -d)
trap 'rm -rf "$out" "$work"; kill $helpers 2>/dev/null || :' EXIT
helpers=
mkdir "$work/seed" "$work/get"
mkfifo "$work/typed" "$work/tracker" "$work/said"

# Prompts and echoes come from two threads, so only their sum is fixed; the file is what counts.
printf 'one\ntwo\n' | "$target/debug/demo_append" "$work/demo.txt" >"$out"
[ "$(cat "$work/demo.txt")" = onetwo ]
[ "$(sed 's/>>> //g' "$out")" = onetwo ]
echo "demo_append ok"

# Forwarding: what is typed before the subscriber is there is lost, so the first thing that it shows is waited for.
"$target/debug/forwarding" --rounds 3 --tick 40 <"$work/typed" >"$work/said" &
forwarding=$!
helpers="$helpers $forwarding"
exec 7>"$work/typed" 9<"$work/said"
head -c 5 <&9 >"$out"
printf 'hello\nthere\n' >&7
exec 7>&-
cat <&9 >>"$out"
wait "$forwarding"
[ "$(grep -o '>>> ' "$out" | wc -l)" = 3 ]
[ "$(sed 's/>>> //g' "$out" | grep -o '[a-z]*' | sort | tr '\n' ' ')" = "hello hello there there " ]
[ "$(tr -dc 1 <"$out" | wc -c)" = 3 ]
echo "forwarding ok"
head -c 3000000 /dev/urandom >"$work/seed/payload.bin"
"$target/debug/kamaelia-torrent" tracker --listen 127.0.0.1:0 >"$work/tracker" &
helpers="$helpers $!"
exec 8<"$work/tracker"
read -r line <&8
url=${line#announce URL: }
(cd "$work/seed" && exec "$target/debug/torrent_seeder" "$url" <"$work/typed" >"$work/said") &
seeder=$!
helpers="$helpers $seeder"
exec 7>"$work/typed" 9<"$work/said"
echo payload.bin >&7
while read -r line <&9; do
    case $line in *"status : 100%"*) break ;; esac
done
(cd "$work/get" && echo ../seed/payload.bin.torrent | "$target/debug/console_torrent") >"$out"
cmp "$work/seed/payload.bin" "$work/get/payload.bin"
grep -q "New torrent 1 created in ./payload.bin" "$out"
# The last word may also be the tracker's answer to the news that all is there.
[ "$(grep -v " tracker " "$out" | tail -n 1)" = "Torrent 1 status : 100%" ]
echo "console_torrent ok"
mkdir "$work/stream"
(cd "$work/stream" && "$target/debug/torrent_stream" ../seed/payload.bin.torrent 'pay*.bin' ../streamed)
cmp "$work/seed/payload.bin" "$work/streamed"
(cd "$work/stream" && "$target/debug/kamaelia-torrent" cat ../seed/payload.bin.torrent) | cmp "$work/seed/payload.bin" -
echo "torrent_stream ok"
exec 7>&-
cat <&9 >/dev/null
wait "$seeder"
echo "torrent_seeder ok"
