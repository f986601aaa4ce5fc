#!/bin/sh
# Runs every test: ours under the race detector where a C compiler is there, the stories of e2e, the demo's IdP, and
# the seeds of every fuzz target, and the browser's reader of recordings under Node. The last line is the test runner's own.
set -eu
PATH="$PATH:/usr/local/go/bin:/usr/sbin"
cd "$(dirname "$0")/.."
dev/prepare.sh test
if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then
	console/recording/build.sh
	npm --prefix console/recording test --silent
	go test -timeout 5m ./console/...
else
	echo "no Node: without the browser's reader of recordings" >&2
fi
rooms=$(go list ./... | grep -v -e /e2e -e /transfer$)
if command -v "${CC:-gcc}" >/dev/null 2>&1; then
	CGO_ENABLED=1 go test -race -timeout 10m $rooms
	CGO_ENABLED=1 go test -race -short -timeout 5m ./transfer
	CGO_ENABLED=1 go vet -tags pkcs11 ./cmd/sekisho ./cmd/sekishod ./ca/keystore
	CGO_ENABLED=1 go test -race -tags pkcs11 -timeout 5m -run Token ./cmd/sekisho ./ca/keystore # keys on a PKCS#11 token
	go test -timeout 5m ./recording # allocations, and every bit of a file: not under the race detector
else
	echo "no C compiler: without the race detector" >&2
	go test -timeout 10m $rooms
fi
go test -timeout 10m ./transfer # with real programs by the hundred, each beside this test's own binary
(cd dev/idp && go test -timeout 5m ./...)
go test -timeout 15m ./e2e/...
