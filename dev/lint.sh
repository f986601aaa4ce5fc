#!/bin/sh
# What must be clean before anything lands: formatting, vet, staticcheck, tidy modules, generated code, other systems.
set -eu
PATH="$PATH:/usr/local/go/bin"
cd "$(dirname "$0")/.."
bad=$(gofmt -l .)
[ -z "$bad" ] || { echo "not formatted: $bad" >&2; exit 1; }
go vet ./...
go tool staticcheck ./...
go mod tidy -diff
for apart in dev/idp dev/s3; do (cd $apart && go vet ./... && go mod tidy -diff); done
if command -v protoc >/dev/null 2>&1; then
	before=$(cat api/v1/*.go api/v1/*/*.go | sha256sum)
	sh api/generate.sh
	[ "$before" = "$(cat api/v1/*.go api/v1/*/*.go | sha256sum)" ] || { echo "api/v1 is not what api/generate.sh makes" >&2; exit 1; }
fi
if grep -q '"resolved"' console/recording/package-lock.json; then
	echo "console/recording/package-lock.json names a registry: leave out \"resolved\"" >&2
	exit 1
fi
echo "lint: clean"
