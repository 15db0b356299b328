#!/usr/bin/env bash
# Speed against named peers, as ratios taken in one run. `benches/run.sh help` lists the cases.
#
# Peers and servers are installed into the user's cache folder when they are missing; data goes
# to a temporary folder that is removed at the end, whatever happens.
set -euo pipefail
started_in="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache="${XDG_CACHE_HOME:-$HOME/.cache}/driftless"
target="${CARGO_TARGET_DIR:-target}"
RCLONE=v1.76.0
VERSITYGW=v1.8.0
DELTALAKE=1.6.6
HUDI=0.5.0

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

usage() {
    cat <<'TEXT'
usage: benches/run.sh [plan|hudi|copy|idle|all] [option ...]

  plan   first plan and next commit of a table of a million files, against deltalake
  copy   store to store, against rclone: many small objects, few large ones
  idle   requests and time of a pass over a table that is in sync
  hudi   first plan and next commit of a Hudi table of 200,000 file groups, against hudi-rs;
         planning alone on one of a million, which is made up as it is listed
  all    everything above (default)

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

# `install_wheel deltalake 1.6.6`: a virtual environment of that name and version.
install_wheel() {
    local folder="$cache/$1-$2"
    [ -x "$folder/bin/python" ] && return 0
    say "installing the Python package $1 $2 into a virtual environment"
    rm -rf "$folder.new"
    python3 -m venv "$folder.new"
    "$folder.new/bin/python" -m pip install --quiet "$1==$2"
    mv "$folder.new" "$folder"
}

build() {
    say "building the release binaries"
    nice -n 5 cargo build --release -p driftless -p driftless-testdata
    if wants hudi; then
        nice -n 5 cargo build --release -p table-sync-hudi --example plan
    fi
}

verb=all
case "${1:-}" in
    plan | hudi | copy | idle | all) verb="$1"; shift ;;
    help | -h | --help) usage; exit 0 ;;
esac
# `built rclone`: a Go program's name and version, as it was compiled.
built() {
    { go version -m "$(command -v "$1")" 2>/dev/null || true; } |
        awk -v name="$1" '$1 == "mod" { version = $3 } END { print name, version }'
}

# Whether a case is among those that run.
wants() { [ "$verb" = "$1" ] || [ "$verb" = all ]; }
wants_build=yes
arguments=()
while [ $# -gt 0 ]; do
    case "$1" in
        --no-build) wants_build=no ;;
        --huge) arguments+=("$1") ;;
        --rounds) arguments+=("$1" "${2:?$1 needs a value}"); shift ;;
        --out) out="${2:?$1 needs a value}"; shift
            [[ $out = /* ]] || out="$started_in/$out"
            arguments+=(--out "$out") ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done

export PATH="$cache/bin:$PATH"
have python3 || { say "no python3: install it, the measuring is written in it"; exit 1; }
versions=()
if wants plan; then
    install_wheel deltalake "$DELTALAKE"
    arguments+=(--python "$cache/deltalake-$DELTALAKE/bin/python")
    versions+=("package deltalake $DELTALAKE")
fi
if wants hudi; then
    install_wheel hudi "$HUDI"
    arguments+=(--hudi-python "$cache/hudi-$HUDI/bin/python")
    versions+=("package hudi $HUDI")
fi
if wants copy; then
    install_go rclone "github.com/rclone/rclone@$RCLONE"
    install_go versitygw "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW"
    versions+=("$(built rclone)" "$(built versitygw)")
fi
for version in ${versions[@]+"${versions[@]}"}; do arguments+=(--peer "$version"); done
[ "$wants_build" = no ] || build

work="$(mktemp -d "${TMPDIR:-/tmp}/driftless-bench.XXXXXX")"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
PYTHONDONTWRITEBYTECODE=1 python3 benches/bench.py "$verb" \
    --binaries "$target/release" --work "$work" ${arguments[@]+"${arguments[@]}"}
