# Shared by the scripts in this folder: sourced, never run.
#
# CI_CACHE   folder that outlives a run; the clients of the interop suite are kept there

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CI_CACHE=${CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kamaelia-torrent-ci}
export CI_CACHE
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
# Nothing is built twice in one run, so incremental state would only cost disk.
[ -z "${CI:-}" ] || export CARGO_INCREMENTAL=0

# Prints a command, then runs it.
run() {
  printf '+ %s\n' "$*"
  "$@"
}

# Prints what is wrong and ends the script.
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Whether a program is on the path.
have() { command -v "$1" >/dev/null 2>&1; }

# Puts the cached clients on the path. `install-clients` wrote the file.
use_clients() {
  if [ -f "$CI_CACHE/clients.env" ]; then
    # shellcheck disable=SC1091
    . "$CI_CACHE/clients.env"
  fi
}
