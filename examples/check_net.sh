#!/bin/sh
# Tries the servers with several clients at once, and with programs that others wrote: netcat, socat, curl, Python. One
# that is not installed is named; with NEED_TOOLS=1 that is an error, unless it is in INTEROP_MISSING.
# check.sh has built the examples. Ends with 1 at the first difference.
set -eu
cd "$(dirname "$0")"
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
bin=$target/debug
work=$(mktemp -d)
helpers=
trap 'rm -rf "$work"; kill $helpers 2>/dev/null || :' EXIT
starts=0

# start PROGRAM [ARGUMENT…]: runs a server; sets `server` to its number and `port` to where it listens.
start() {
    program=$1 starts=$((starts + 1))
    shift
    mkfifo "$work/said$starts" # a new one: a server that was stopped may still hold the last
    "$program" "$@" >"$work/said$starts" 2>"$work/errors" &
    server=$!
    helpers="$helpers $server"
    read -r line <"$work/said$starts"
    port=${line##*:}
}

# same NAME WANTED GOT
same() {
    if [ "$2" != "$3" ]; then
        printf '%s: wanted\n%s\ngot\n%s\n' "$1" "$2" "$3" >&2
        exit 1
    fi
    echo "$1 ok"
}

# with TOOL: whether it is there; says so if not.
with() {
    if command -v "$1" >/dev/null 2>&1; then return 0; fi
    case " ${INTEROP_MISSING:-} " in *" $1 "*) ;; *)
        [ "${NEED_TOOLS:-}" != 1 ] || { echo "$1 is not installed" >&2; exit 1; } ;;
    esac
    echo "NOT CHECKED with $1: it is not installed"
    return 1
}

lines=$(printf 'one\ntwo')

start "$bin/echo_server"
same "echo_server, our client" "$lines" "$(printf 'one\ntwo\n' | timeout 180 "$bin/telnet" 127.0.0.1 "$port")"
if with nc; then
    same "echo_server, netcat" "$lines" "$(printf 'one\ntwo\n' | timeout 180 nc -N 127.0.0.1 "$port")"
fi
if with socat; then
    same "echo_server, socat" "$lines" "$(printf 'one\ntwo\n' | timeout 180 socat -t 120 - "TCP:127.0.0.1:$port")"
    head -c 3000000 /dev/urandom >"$work/data"
    timeout 180 socat -t 120 - "TCP:127.0.0.1:$port" <"$work/data" | cmp - "$work/data"
    echo "echo_server, 3 MB through socat ok"
fi
kill "$server"

# Each client has heard itself before the next one speaks, so all are there.
chat='
import re, socket, sys
port = int(sys.argv[1])
def client():
    return socket.create_connection(("127.0.0.1", port), 20).makefile("rw", newline="\n")
def say(c, text, heard_by):
    c.write(text + "\n"); c.flush()
    heard = {h.readline() for h in heard_by}
    assert len(heard) == 1, heard
    return heard.pop()
one = client()
first = say(one, "alone", [one])
two = client()
second = say(two, "hello", [two, one])
third = say(one, "goodbye", [one, two])
for line, text in ((first, "alone"), (second, "hello"), (third, "goodbye")):
    assert re.fullmatch(r"127\.0\.0\.1:\d+ says " + text + "\n", line), line
assert first.split()[0] == third.split()[0] != second.split()[0]
'
if with python3; then
    start "$bin/chat_server" --room TEST
    timeout 180 python3 -c "$chat" "$port"
    echo "chat_server ok"
    kill "$server"

    # The visualiser: shows the introspection lines that it is sent, until all of these have come.
    cat >"$work/visualiser" <<'P'
import re, socket, sys
listening = socket.create_server(("127.0.0.1", 0))
print(f"listening on 127.0.0.1:{listening.getsockname()[1]}", flush=True)
connection, _ = listening.accept()
connection.settimeout(180)
said, wanted = "", sys.argv[1:]
while wanted:
    more = connection.recv(65536)
    assert more, f"closed before {wanted} came:\n{said}"
    said += more.decode()
    wanted = [w for w in wanted if not re.search(w, said)]
assert said.startswith("DEL ALL\n"), said
P
    mkfifo "$work/typed"
    for program in echo_server:FastRestartServer chat_server:PlugSplitter command_line_echo:ConsoleEchoer; do
        name=${program%:*}
        start python3 "$work/visualiser" 'ADD NODE "\d+" "[^"]*\.Introspector_\d+"' \
            'ADD NODE "\d+" "[^"]*\.TcpClient_\d+"' "ADD NODE \"\\d+\" \"[^\"]*\\.${program#*:}_\\d+\"" \
            "ADD LINK \"\(\d+, 'o', 'outbox'\)\" \"\(\d+, 'i', 'inbox'\)\""
        visualiser=$server
        "$bin/$name" --visualiser "$port" <"$work/typed" >"$work/shown" 2>&1 &
        server=$!
        helpers="$helpers $server"
        exec 7>"$work/typed"
        wait "$visualiser" || { cat "$work/errors" >&2; exit 1; }
        exec 7>&-
        kill "$server" 2>/dev/null || :
        echo "$name with a visualiser ok"
    done
fi

start "$bin/fortune_cookie" --serve --rate 1000000 --command 'printf "HTTP/1.0 200 OK\r\n\r\nA fortune.\n"'
if with curl; then
    same "fortune_cookie, curl" "A fortune." "$(curl -s --max-time 180 "http://127.0.0.1:$port/")"
fi
if with nc; then
    same "fortune_cookie, netcat" "A fortune." "$(timeout 180 nc 127.0.0.1 "$port" </dev/null | tail -n 1)"
fi
kill "$server"

if with nc; then
    mkfifo "$work/said.nc"
    # A server that another wrote: netcat, which says a word and shows what it is told. It goes when we have finished.
    echo welcome | timeout 180 nc -l -v 127.0.0.1 0 >"$work/heard" 2>"$work/said.nc" &
    netcat=$!
    exec 6<"$work/said.nc" # it says more later, and would end if nobody could read that
    read -r line <&6
    mkfifo "$work/type" "$work/show"
    timeout 180 "$bin/telnet" 127.0.0.1 "${line##* }" <"$work/type" >"$work/show" &
    helpers="$helpers $!"
    exec 5>"$work/type" 4<"$work/show"
    read -r line <&4
    same "telnet, netcat's server" welcome "$line"
    echo hello >&5
    exec 5>&-
    wait "$netcat"
    same "telnet, what netcat heard" hello "$(cat "$work/heard")"

    # Datagrams: our peer to netcat.
    mkfifo "$work/said.udp"
    timeout 180 nc -d -u -l -v 127.0.0.1 0 >"$work/datagrams" 2>"$work/said.udp" &
    netcat=$!
    helpers="$helpers $netcat"
    exec 6<"$work/said.udp"
    read -r line <&6
    timeout 180 "$bin/simple_peer" --to "${line##* }" >/dev/null &
    peer=$!
    helpers="$helpers $peer"
    # Until it has come, or one of them gives up.
    while [ "$(wc -c <"$work/datagrams")" -lt 11 ] && kill -0 "$netcat" && kill -0 "$peer"; do sleep 0.1; done 2>/dev/null
    kill "$netcat" "$peer" 2>/dev/null || :
    same "simple_peer, netcat" "Hello World" "$(head -c 11 "$work/datagrams")"
fi
