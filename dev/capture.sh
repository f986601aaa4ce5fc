#!/bin/sh
# Makes docs/capture.svg and the text in README.md anew from a real session: builds, starts a demo, types, ends it.
set -eu
PATH="$PATH:/usr/local/go/bin:/usr/sbin"
cd "$(dirname "$0")/.."
dev/prepare.sh
dev/build.sh bin
go run ./dev/capture -bin bin -svg docs/capture.svg -readme README.md
