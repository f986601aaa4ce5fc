#!/bin/sh
# Builds every program into the folder named: ours, the demo, and the IdP that it runs (a module of its own).
set -eu
PATH="$PATH:/usr/local/go/bin"
cd "$(dirname "$0")/.."
out=$PWD/${1:-bin}
mkdir -p "$out"
flags=-trimpath

step() {
	[ -t 2 ] && printf '%s ...' "$1" >&2
	start=$(date +%s)
	what=$1
	shift
	"$@"
	took=$(($(date +%s) - start))
	if [ -t 2 ]; then printf '\r\033[K' >&2; fi
	if [ "$took" -gt 2 ]; then echo "$what: ${took}s" >&2; fi
}

step "building sekisho, sekishod, sekisho-connector and the demo" go build $flags -o "$out/" ./cmd/... ./dev/demo
step "building Dex, the IdP of the demo" sh -c "cd dev/idp && go build $flags -o '$out/idp' ."
