#!/usr/bin/env bash
# Puts Spark 3.5.9 with Delta 3.3.2 (jars/) or Hudi (hudi/, three bundles) into the cache directory
# and prints that directory. Argument: delta (when none is given) or hudi.
# Needs Java 17 with javac, Python 3.11 with venv, and Maven. Does nothing when all is there and
# verified.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/driftless/spark-3.5"
venv="$cache/venv"
case "${1:-delta}" in
    delta)
        jars=jars
        artifacts=(
            io.delta:delta-spark_2.12:3.3.2
            io.delta:delta-storage:3.3.2
            org.antlr:antlr4-runtime:4.9.3
        )
        ;;
    hudi)
        jars=hudi
        artifacts=(
            org.apache.hudi:hudi-spark3.5-bundle_2.12:0.15.0
            org.apache.hudi:hudi-spark3.5-bundle_2.12:1.0.2
            org.apache.hudi:hudi-spark3.5-bundle_2.12:1.1.1
        )
        ;;
    *)
        echo "set up $1: there are delta and hudi" >&2
        exit 1
        ;;
esac
mkdir -p "$cache/$jars"

# The marker holds the requirements it was installed from, so a changed pin installs again.
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" install --quiet --require-hashes -r "$here/requirements.txt" >&2
    cp "$here/requirements.txt" "$venv/installed.txt"
fi

verified() {
    grep "  $jars/" "$here/jars.sha256" | (cd "$cache" && sha256sum --check --status 2>/dev/null)
}
if ! verified; then
    for artifact in "${artifacts[@]}"; do
        mvn --quiet --batch-mode dependency:copy -Dartifact="$artifact" \
            -DoutputDirectory="$cache/$jars" >&2
    done
    verified || {
        echo "verify jars in $cache/$jars: checksums differ from jars.sha256" >&2
        exit 1
    }
fi

echo "$cache"
