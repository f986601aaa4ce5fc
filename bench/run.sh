#!/bin/sh
# Runs the bench against the programs in bin/ and prints Markdown. See bench/main.go for BENCH_ONLY, ROUNDS, MB, N.
set -eu
PATH="$PATH:/usr/local/go/bin:/usr/sbin"
cd "$(dirname "$0")/.."
BENCH_BIN=${BENCH_BIN:-$PWD/bin}
export BENCH_BIN
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go build -trimpath -o "$tmp/bench" ./bench
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
"$tmp/bench"
