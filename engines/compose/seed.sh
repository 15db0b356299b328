#!/bin/sh
# Makes the first token, and names what docker-compose.yml runs: a store for each site, a project.
# It ends at once where the token is in its place, since that comes last; so what was changed since
# stays as it is.
set -eu

token=/var/lib/driftless/token
[ ! -s "$token" ] || exit 0
umask 077
if [ ! -s "$token.new" ]; then
    driftless token create --name compose --role admin --expires 365d --output json \
        | sed -n 's/.*"secret": *"\([^"]*\)".*/\1/p' >"$token.new"
fi
DRIFTLESS_TOKEN="$(cat "$token.new")"
export DRIFTLESS_TOKEN

driftless put project lake '{}'
for site in east west; do
    driftless put store "$site" "{\"url\": \"s3://$site\", \"options\": {
        \"aws_endpoint\": \"http://s3-$site:7070\", \"aws_region\": \"us-east-1\", \"aws_allow_http\": \"true\",
        \"aws_access_key_id\": {\"env\": \"DRIFTLESS_STORE_SITES_KEY\"},
        \"aws_secret_access_key\": {\"env\": \"DRIFTLESS_STORE_SITES_SECRET\"}}}"
    driftless put site "$site" "{\"url\": \"$site:\"}"
done
mv "$token.new" "$token"
