#!/usr/bin/env bash
# Writes testdata/delta again with real Spark; names of tables limit it to those.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="$("$here/setup.sh")"
export TZ=UTC SPARK_LOCAL_IP=127.0.0.1 PYTHONDONTWRITEBYTECODE=1
"$cache/venv/bin/python" "$here/rowhash.py"
exec "$cache/venv/bin/python" "$here/delta.py" --jars "$cache/jars" \
    --out "$here/../delta" "$@"
