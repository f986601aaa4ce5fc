#!/bin/sh
# Checks for what demo and tests run, and installs what is missing (Debian). Prints nothing when all is there.
set -eu
PATH="$PATH:/usr/sbin:/sbin:/usr/local/go/bin"

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
library() { dpkg -s "$1" >/dev/null 2>&1 || missing="$missing $1"; }

# The SSH clients of e2e/testdata/clients, about 135 MB with what they need. Each is run as Debian packages it.
for_clients() {
	need ssh1 openssh-client-ssh1
	need plink putty-tools
	need dbclient dropbear-bin
	need ansible ansible-core
	need rclone rclone
	need lftp lftp
	need sshfs sshfs
	need curl curl
	library python3-paramiko
	library python3-asyncssh
	library ruby-net-ssh
	library libssh-4
	library libnet-ssh2-perl
	need xauth xauth
}

need ssh openssh-client
need sshd openssh-server
need rsync rsync
need git git
if [ "${1:-}" = test ]; then # the demo can do without
	need chromium chromium   # the pages are tested in a real browser
	need ssh-audit ssh-audit
	need nft nftables        # packets are redirected in networks of the tests' own
	need ip iproute2
	need unshare util-linux
	need nsenter util-linux
	need node nodejs         # the browser's reader of recordings, and its package manager
	need npm npm
	need "${CC:-gcc}" "gcc libc6-dev" # the race detector and PKCS#11 want a C compiler
	need softhsm2-util softhsm2 # a PKCS#11 token, for keys that open recordings and CA keys
	need swtpm swtpm         # a TPM, for CA keys
	need openssl openssl     # encrypts key files in its own way
	for_clients
fi

if [ -n "$missing" ]; then
	if [ "$(id -u)" = 0 ]; then as=
	elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as="sudo -n"
	else
		echo "missing Debian packages:$missing (as root: apt-get install$missing)" >&2
		exit 1
	fi
	echo "installing:$missing"
	# A server that gets installed here must not be started by its package.
	if ! { $as apt-get update -qq && $as env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1; then
		echo "missing Debian packages, and apt-get could not install them:$missing" >&2
		exit 1
	fi
fi

if ! command -v go >/dev/null 2>&1; then
	echo "missing: Go 1.26 or later (https://go.dev/dl/)" >&2
	exit 1
fi
case "$(go env GOVERSION 2>/dev/null)" in
go1.2[6-9]* | go1.[3-9][0-9]* | go[2-9]* | devel*) ;;
*)
	echo "Go 1.26 or later is needed, here is $(go env GOVERSION 2>/dev/null || echo an older one) (https://go.dev/dl/)" >&2
	exit 1
	;;
esac
if [ "$(id -u)" = 0 ] && [ ! -d /run/sshd ]; then
	mkdir -p -m 0755 /run/sshd # where a sshd run by root separates privileges
fi
