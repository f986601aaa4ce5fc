#!/bin/sh
# Compiles the reader to dist/, with the versions of package-lock.json; fetches them when they are not there.
set -eu
cd "$(dirname "$0")"
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent
npm run --silent build
