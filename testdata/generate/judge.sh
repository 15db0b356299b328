#!/usr/bin/env bash
# Real Spark judges replicas of the tables of testdata/hudi, which DRIFTLESS makes (target/debug/
# driftless where it is not set); names of tables limit it to those. --s3 keeps the replicas in an
# S3 server.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export TZ=UTC SPARK_LOCAL_IP=127.0.0.1 PYTHONDONTWRITEBYTECODE=1
target="${CARGO_TARGET_DIR:-$here/../../target}"
driftless="$(realpath "${DRIFTLESS:-$target/debug/driftless}")"
cache="$("$here/setup.sh" hudi)"
case " $* " in *" --s3 "*) "$here/setup.sh" s3a >/dev/null ;; esac
exec "$cache/venv/bin/python" "$here/hudi_judge.py" --jars "$cache" \
    --driftless "$driftless" "$@"
