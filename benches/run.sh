#!/usr/bin/env bash
# Speed against named peers, as ratios taken in one run. `benches/run.sh help` lists the cases.
#
# Peers and servers are installed into the user's cache folder when they are missing; data goes
# to a temporary folder that is removed at the end, whatever happens.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache="${XDG_CACHE_HOME:-$HOME/.cache}/driftless"
target="${CARGO_TARGET_DIR:-target}"
RCLONE=v1.76.0
VERSITYGW=v1.8.0
DELTALAKE=1.6.6

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

usage() {
    cat <<'TEXT'
usage: benches/run.sh [plan|copy|idle|hudi|all] [option ...]

  plan   first plan and next commit of a table of a million files, against deltalake
  copy   store to store, against rclone: many small objects, few large ones
  idle   requests and time of a pass over a table that is in sync
  hudi   plans of a Hudi table of ten thousand instants and a million file groups; no peer,
         no disk: the store is made up as it is listed
  all    plan, copy and idle (default)

  --peer PEER   plan: wheel = the Python package deltalake (default, seconds to install),
                crate = the crate that the row judge uses (20 minutes to build)
  --rounds N    pairs per case (default 5)
  --huge        plan: also ten million files (4 GB on disk); copy: also one object of 50 GiB
  --no-build    take the binaries that are there
  --out FILE    also write the report, as Markdown, to FILE
TEXT
}

# Go builds are niced: a machine that runs benchmarks is often used for other things meanwhile.
install_go() {
    have "$1" && return 0
    have go || { say "no Go toolchain: install Go, or put $1 on the PATH"; exit 1; }
    say "installing $1 (minutes)"
    mkdir -p "$cache/bin"
    GOBIN="$cache/bin" nice -n 10 go install "$2"
}

install_wheel() {
    [ -x "$cache/deltalake/bin/python" ] && return 0
    say "installing the Python package deltalake $DELTALAKE into a virtual environment"
    python3 -m venv "$cache/deltalake.new"
    "$cache/deltalake.new/bin/python" -m pip install --quiet "deltalake==$DELTALAKE"
    mv "$cache/deltalake.new" "$cache/deltalake"
}

build() {
    say "building the release binaries"
    nice -n 5 cargo build --release -p driftless -p driftless-testdata
    if [ "$peer" = crate ]; then
        say "building the peer for planning; a first build of deltalake takes 20 minutes"
        nice -n 5 cargo build --release -p table-sync-rows --example load
    fi
}

verb=all
case "${1:-}" in
    plan | copy | idle | all) verb="$1"; shift ;;
    hudi) exec nice -n 5 cargo run --release -p table-sync-hudi --example plan ;;
    help | -h | --help) usage; exit 0 ;;
esac
wants_build=yes
peer=wheel
arguments=()
while [ $# -gt 0 ]; do
    case "$1" in
        --no-build) wants_build=no ;;
        --peer) peer="${2:?--peer needs wheel or crate}"; shift ;;
        --huge) arguments+=("$1") ;;
        --rounds | --out) arguments+=("$1" "${2:?$1 needs a value}"); shift ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done

export PATH="$cache/bin:$PATH"
have python3 || { say "no python3: install it, the measuring is written in it"; exit 1; }
case "$verb" in
    plan | all)
        if [ "$peer" = wheel ]; then
            install_wheel
            arguments+=(--python "$cache/deltalake/bin/python")
        fi
        ;;
esac
if [ "$verb" = copy ] || [ "$verb" = all ]; then
    install_go rclone "github.com/rclone/rclone@$RCLONE"
    install_go versitygw "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW"
fi
[ "$wants_build" = no ] || build

work="$(mktemp -d "${TMPDIR:-/tmp}/driftless-bench.XXXXXX")"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
PYTHONDONTWRITEBYTECODE=1 python3 benches/bench.py "$verb" \
    --binaries "$target/release" --work "$work" ${arguments[@]+"${arguments[@]}"}
