#!/usr/bin/env bash
# Runs a main class of Hive Metastore 3.1.3 on a database: run.sh CLASS JDBC-URL ARGUMENT...
# Hadoop's classes come from PySpark 3.5, whose own Hive of 2.3 must stay out.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/driftless"
export METASTORE_HOME="$cache/engines/hive/apache-hive-metastore-3.1.3-bin"
main="$1" database="$2"
shift 2

join() { local IFS=:; echo "$*"; }
# Jars of a folder whose names match, or do not with -v.
named() { # FOLDER PATTERN [-v]
    find "$1" -maxdepth 1 -name '*.jar' -printf '%f\n' | sort | grep -E "${@:3}" "$2" |
        sed "s#^#$1/#"
}
spark="$(echo "$cache"/spark-3.5/venv/lib/python3*/site-packages/pyspark/jars)"
logging='^(slf4j|log4j|jcl-over|jul-to)'
mapfile -t path < <(
    echo "$here"
    named "$spark" "$logging"
    named "$METASTORE_HOME/lib" "$logging" -v
    named "$cache/spark-3.5/s3a" .
    named "$spark" "$logging|^(hive|derby|datanucleus|spark-|libthrift|libfb)" -v
)
exec "${JAVA_17:-java}" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Djavax.jdo.option.ConnectionURL="$database" -Dderby.stream.error.file=/dev/null \
    -cp "$(join "${path[@]}")" "$main" "$@"
