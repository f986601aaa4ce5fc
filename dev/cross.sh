#!/bin/sh
# Builds for every system we ship to, and throws the result away.
set -eu
PATH="$PATH:/usr/local/go/bin"
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
for arch in amd64 arm64; do
	for os in darwin windows; do
		echo "sekisho for $os/$arch"
		GOOS=$os GOARCH=$arch go build -trimpath -o /dev/null ./cmd/sekisho
	done
	for cmd in cmd/*/; do
		echo "$(basename "$cmd") for linux/$arch"
		GOOS=linux GOARCH=$arch go build -trimpath -o /dev/null "./$cmd"
	done
done
