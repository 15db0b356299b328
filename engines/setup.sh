#!/usr/bin/env bash
# Puts what ./dev e2e runs into the cache directory and prints that directory: Trino 476, Spark 3.5
# and 4.0 with their jars, a Hive Metastore 3.1.3 with an empty database, and a Python with DuckDB,
# a metastore client and Trino's Java. Needs Java 17, Python 3.11 with venv, and Maven; pinned by
# SHA-256, for Linux on x86-64. Does nothing when all is there and verified.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
generate="$here/../testdata/generate"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/driftless"
spark_3="$("$generate/setup.sh" delta)"
for part in hudi s3a trino; do "$generate/setup.sh" "$part" >/dev/null; done

# A virtual environment; it notes what it was made from, so that a changed pin makes it again.
environment() { # FOLDER REQUIREMENTS
    if ! cmp -s "$2" "$1/installed.txt"; then
        python3 -m venv --clear "$1" >&2
        "$1/bin/pip" install --quiet --require-hashes --requirement "$2" >&2
        cp "$2" "$1/installed.txt"
    fi
}
environment "$cache/spark-4.0/venv" "$here/requirements-spark-4.0.txt"
environment "$cache/engines/venv" "$here/requirements.txt"
# The row hash needs Spark's types.
echo "$spark_3"/venv/lib/python3*/site-packages \
    >"$(echo "$cache"/engines/venv/lib/python3*/site-packages)/spark.pth"

verified() {
    grep "  $1/" "$here/jars.sha256" | (cd "$cache" && sha256sum --check --status 2>/dev/null)
}
jars() { # FOLDER ARTIFACT...
    local folder="$1" artifact
    shift
    verified "$folder" && return
    for artifact in "$@"; do
        mvn --quiet --batch-mode dependency:copy -Dartifact="$artifact" \
            -DoutputDirectory="$cache/$folder" >&2
    done
    verified "$folder" || {
        echo "verify jars in $cache/$folder: checksums differ from jars.sha256" >&2
        exit 1
    }
}
jars spark-4.0/jars io.delta:delta-spark_2.13:4.0.1 io.delta:delta-storage:4.0.1 \
    org.antlr:antlr4-runtime:4.13.1
jars spark-4.0/s3a org.apache.hadoop:hadoop-aws:3.4.1 software.amazon.awssdk:bundle:2.24.6
jars engines/hive org.apache.hive:hive-standalone-metastore:3.1.3:tar.gz:bin

hive="$cache/engines/hive/apache-hive-metastore-3.1.3-bin"
if [ ! -e "$hive/complete" ]; then
    rm -rf "$hive"
    tar -xzf "$cache/engines/hive/hive-standalone-metastore-3.1.3-bin.tar.gz" \
        -C "$cache/engines/hive"
    "$here/hive/run.sh" org.apache.hadoop.hive.metastore.tools.MetastoreSchemaTool \
        "jdbc:derby:;databaseName=$hive/empty;create=true" -initSchema -dbType derby \
        >"$hive/schema.log" 2>&1 || { tail -20 "$hive/schema.log" >&2; exit 1; }
    touch "$hive/complete"
fi

echo "$cache"
