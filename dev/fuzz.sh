#!/bin/sh
# Runs every fuzz target for FUZZTIME (20s), of which little may go into making inputs smaller.
set -eu
PATH="$PATH:/usr/local/go/bin"
cd "$(dirname "$0")/.."
grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do
	sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' "$file" | while read -r target; do
		echo "$(dirname "$file") $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-20s}" -fuzzminimizetime 1s "$(dirname "$file")"
	done
done
