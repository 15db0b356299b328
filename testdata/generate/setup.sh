#!/usr/bin/env bash
# Puts Spark 3.5.9 and Delta 3.3.2 into the cache directory and prints that directory.
# Needs Java 17, Python 3.11 with venv, and Maven. Does nothing when all is there and verified.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/driftless/spark-3.5"
venv="$cache/venv"
jars="$cache/jars"
mkdir -p "$jars"

# The marker holds the requirements it was installed from, so a changed pin installs again.
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" install --quiet --require-hashes -r "$here/requirements.txt" >&2
    cp "$here/requirements.txt" "$venv/installed.txt"
fi

verified() {
    (cd "$jars" && sha256sum --check --status "$here/jars.sha256" 2>/dev/null)
}
if ! verified; then
    for artifact in \
        io.delta:delta-spark_2.12:3.3.2 \
        io.delta:delta-storage:3.3.2 \
        org.antlr:antlr4-runtime:4.9.3; do
        mvn --quiet --batch-mode dependency:copy -Dartifact="$artifact" \
            -DoutputDirectory="$jars" >&2
    done
    verified || { echo "verify jars in $jars: checksums differ from jars.sha256" >&2; exit 1; }
fi

echo "$cache"
