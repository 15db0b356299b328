#!/bin/sh
# Makes src/hive.rs from thrift/hive.thrift. Needs the Apache Thrift compiler, 0.17 or later
# (Debian: thrift-compiler). A build needs neither.
set -eu
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
thrift --gen rs -out "$out" thrift/hive.thrift
# There is no service, so that nothing of the library's server is used.
grep -v '^use thrift::server::' "$out/hive.rs" > src/hive.rs
