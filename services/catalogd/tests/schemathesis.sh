#!/usr/bin/env bash
# Schemathesis asks the API what its OpenAPI document allows, and what it does not, and judges the
# answers by the document. DRIFTLESS is the program (target/debug/driftless where it is not set).
# Extra words go to Schemathesis.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
target="${CARGO_TARGET_DIR:-$root/target}"
driftless="$(realpath "${DRIFTLESS:-$target/debug/driftless}")"
schemathesis="$(command -v "${SCHEMATHESIS:-schemathesis}")"

world="$(mktemp -d)"
server=
leave() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$world"
}
trap leave EXIT

cd "$world"
export HOME="$world" PYTHONDONTWRITEBYTECODE=1
unset DRIFTLESS_CONFIG XDG_CONFIG_HOME
mkdir -p lake east west
cp -r "$root/testdata/delta/history/table" lake/orders

made="$("$driftless" token create --name fuzzer --role admin --data data --output json)"
DRIFTLESS_TOKEN="$(sed -n 's/.*"secret": *"\([^"]*\)".*/\1/p' <<<"$made")"
export DRIFTLESS_TOKEN

: >said
"$driftless" serve --data data --listen 127.0.0.1:0 --poll 100ms --allow-files "$world" \
    --log-level error --output json >said &
server=$!
for _ in $(seq 600); do
    DRIFTLESS_SERVER="$(sed -n 's/.*"listening": *"\([^"]*\)".*/\1/p' said)"
    [ -z "$DRIFTLESS_SERVER" ] || break
    sleep 0.1
done
export DRIFTLESS_SERVER

# Something of each kind, so that not every answer is that there is none.
"$driftless" put project lake '{}' >/dev/null
"$driftless" put store raw "{\"url\": \"file://$world/lake\"}" >/dev/null
for site in east west; do
    "$driftless" put site "$site" "{\"url\": \"file://$world/$site\"}" >/dev/null
done
"$driftless" put rule nightly \
    '{"pattern": "raw:**", "name": "lake.found.{1}", "sites": ["east"], "every_seconds": 3600}' >/dev/null
"$driftless" table register lake.sales.orders raw:orders --site east --site west >/dev/null

"$schemathesis" --config-file "$here/schemathesis.toml" run "$@" "$DRIFTLESS_SERVER/openapi.json"

# It is still well, and ends as it should.
kill "$server"
wait "$server"
server=
