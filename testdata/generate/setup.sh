#!/usr/bin/env bash
# Puts Spark 3.5.9 with Delta 3.3.2 (jars/), Hudi (hudi/, three bundles) or the S3A file system
# (s3a/), or Trino 476 (trino/) into the cache directory and prints that directory. Argument: delta
# (when none is given), hudi, s3a or trino.
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
    s3a)
        jars=s3a
        artifacts=(
            org.apache.hadoop:hadoop-aws:3.3.4
            com.amazonaws:aws-java-sdk-bundle:1.12.262
        )
        ;;
    trino)
        jars=trino
        artifacts=(io.trino:trino-server:476:tar.gz)
        ;;
    *)
        echo "set up $1: there are delta, hudi, s3a and trino" >&2
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

# Trino unpacked, with three plugins: each that is there is loaded. Jars are hard links between
# plugins, so all are unpacked first.
server="$cache/trino/trino-server-476"
if [ "$jars" = trino ] && [ ! -e "$server/complete" ]; then
    tar -xzf "$server.tar.gz" -C "$cache/trino"
    for plugin in "$server"/plugin/*; do
        case "$(basename "$plugin")" in
            delta-lake | hive | hudi) ;;
            *) rm -r "$plugin" ;;
        esac
    done
    touch "$server/complete"
fi

echo "$cache"
