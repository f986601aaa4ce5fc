#!/bin/sh
# Runs the bench against the programs in bin/ and prints Markdown. See bench/main.go for BENCH_ONLY, ROUNDS, MB, N and
# BENCH_PROFILE.
set -eu
PATH="$PATH:/usr/local/go/bin:/usr/sbin:/sbin"
cd "$(dirname "$0")/.."
BENCH_BIN=${BENCH_BIN:-$PWD/bin}
if [ -n "${BENCH_PROFILE:-}" ]; then # the same programs, with testdata/profile.go in two of them
	mkdir -p "$BENCH_PROFILE" "$BENCH_BIN/profiled"
	BENCH_PROFILE=$(cd "$BENCH_PROFILE" && pwd)
	for program in demo idp sekisho; do cp "$BENCH_BIN/$program" "$BENCH_BIN/profiled/"; done
	BENCH_BIN=$BENCH_BIN/profiled
	cat >"$BENCH_BIN/overlay.json" <<-END
		{"Replace": {"$PWD/cmd/sekishod/zz_profile.go": "$PWD/bench/testdata/profile.go",
			"$PWD/cmd/sekisho-connector/zz_profile.go": "$PWD/bench/testdata/profile.go"}}
	END
	go build -overlay "$BENCH_BIN/overlay.json" -o "$BENCH_BIN/" ./cmd/sekishod ./cmd/sekisho-connector
	export BENCH_PROFILE
fi
export BENCH_BIN
go build -trimpath -o "$BENCH_BIN/bench" ./bench
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
exec "$BENCH_BIN/bench" # signals reach it, and it ends what it started
