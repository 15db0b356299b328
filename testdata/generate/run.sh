#!/usr/bin/env bash
# Writes testdata/delta again with real Spark, testdata/hudi when the first argument is `hudi`, or
# testdata/engines/hudi when it is `engines`; names of tables limit it to those.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export TZ=UTC SPARK_LOCAL_IP=127.0.0.1 PYTHONDONTWRITEBYTECODE=1
out="$here/../hudi"
if [[ "${1:-}" == engines ]]; then
    out="$here/../engines/hudi"
    shift
    [ $# -gt 0 ] || set -- cow_v8_archived cow_v8_growing
    set -- hudi "$@"
fi
if [[ "${1:-}" == hudi ]]; then
    shift
    cache="$("$here/setup.sh" hudi)"
    "$cache/venv/bin/python" "$here/rowhash.py"
    exec "$cache/venv/bin/python" "$here/hudi.py" --jars "$cache/hudi" \
        --out "$out" "$@"
fi
cache="$("$here/setup.sh")"
"$cache/venv/bin/python" "$here/rowhash.py"
exec "$cache/venv/bin/python" "$here/delta.py" --jars "$cache/jars" \
    --out "$here/../delta" "$@"
