#!/bin/sh
# Makes the first token, and names what docker-compose.yml runs: a store for each site, a project.
# Runs once before anything else speaks to the service; a second run changes nothing.
set -eu

export DRIFTLESS_SERVER="${DRIFTLESS_SERVER:-http://driftless:8640}"
if [ ! -s /run/driftless/token ]; then
    driftless token create --name compose --role admin --output json \
        | sed -n 's/.*"secret": *"\([^"]*\)".*/\1/p' >/run/driftless/token
fi
DRIFTLESS_TOKEN="$(cat /run/driftless/token)"
export DRIFTLESS_TOKEN

driftless put project lake '{}'
for site in east west; do
    driftless put store "$site" "{\"url\": \"s3://$site\", \"options\": {
        \"aws_endpoint\": \"http://s3-$site:7070\", \"aws_region\": \"us-east-1\", \"aws_allow_http\": \"true\",
        \"aws_access_key_id\": {\"env\": \"DRIFTLESS_STORE_SITES_KEY\"},
        \"aws_secret_access_key\": {\"env\": \"DRIFTLESS_STORE_SITES_SECRET\"}}}"
    driftless put site "$site" "{\"url\": \"$site:\"}"
done
