#!/bin/sh
# The command line with the token that seed.sh made: docker compose run --rm ctl table list
DRIFTLESS_TOKEN="$(cat /var/lib/driftless/token)"
export DRIFTLESS_TOKEN
exec driftless "$@"
