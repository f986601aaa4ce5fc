// Package host is what a connector does to its host's sshd, so that it trusts what Sekisho signs and nothing else.
//
// Host.Apply brings the host in step with a State, in these steps:
//
//  1. check    every line of the State, because each becomes a line that sshd reads
//  2. write    CA keys, principals by login, host certificate and a drop-in that points at them, each replaced whole
//  3. ask      sshd -T, whether it accepts its configuration and whether the drop-in is what it goes by
//  4. reload   sshd, if what it reads only at its start has changed
//
// The revocation list is taken over before that, on its own: a host whose sshd has trouble goes by the newest list all the
// same. Its number never goes down, and a broken one is not taken.
//
// Published keys stand in files of their own, which sshd gets through find, so that no program of ours is in the way of a
// log-in. They are written before step 2, those that are gone first.
//
// If step 3 or 4 goes wrong, everything is put back as it was, but for published keys. Nothing to change means nothing is written and nothing
// reloaded. Only files below Layout.Dir and the one drop-in are ever written; symbolic links are not followed.
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Layout says where things are on the host. All paths are absolute.
type Layout struct {
	// Dir holds the files that the drop-in points at, such as /etc/ssh/sekisho. It is made if its parent is there.
	Dir string
	// DropIn is written, such as /etc/ssh/sshd_config.d/50-sekisho.conf; SSHDConfig must include it.
	DropIn     string
	SSHDConfig string
	// SSHD is the binary; empty means /usr/sbin/sshd.
	SSHD string
	// Find is the program by which sshd gets published keys; empty means /usr/bin/find.
	Find string
	// HostKey is the public half of the key that host certificates are for, such as
	// /etc/ssh/ssh_host_ed25519_key.pub. sshd must use its private half as a HostKey.
	HostKey string
	// Reload is the command that makes sshd read its configuration anew; if empty, PIDFile names the file with the
	// process ID that gets a SIGHUP.
	Reload  []string
	PIDFile string
}

// State is what the host should trust.
type State struct {
	// TrustedUserCA are public key lines.
	TrustedUserCA []string
	// Principals are those that may log in, by login.
	Principals map[string][]string
	// HostCertificate is a certificate line for the host key; empty while there is none.
	HostCertificate string
	// Revocations is an OpenSSH KRL of user certificates and keys; nil leaves the list that is there.
	Revocations []byte
	// Published are keys that may log in beside certificates, by login.
	Published map[string][]PublishedKey
}

// Host is one sshd. Use New.
type Host struct {
	layout Layout
	log    *slog.Logger
	mu     sync.Mutex
}

// paths become words of sshd_config, so they hold nothing that sshd would interpret.
var pathForm = regexp.MustCompile(`^/[A-Za-z0-9._/+@=-]{1,300}$`)

// New checks the layout. It touches nothing.
func New(l Layout, log *slog.Logger) (*Host, error) {
	if l.SSHD == "" {
		l.SSHD = "/usr/sbin/sshd"
	}
	if l.Find == "" {
		l.Find = "/usr/bin/find"
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	for name, path := range map[string]string{
		"dir": l.Dir, "drop_in": l.DropIn, "config": l.SSHDConfig, "sshd": l.SSHD, "find": l.Find, "host_key": l.HostKey,
	} {
		if !pathForm.MatchString(path) || filepath.Clean(path) != path {
			return nil, fmt.Errorf("%s %q: want a plain absolute path", name, path)
		}
	}
	if (len(l.Reload) == 0) == (l.PIDFile == "") {
		return nil, errors.New("sshd is reloaded either by a command or by a PID file: want exactly one")
	}
	return &Host{layout: l, log: log}, nil
}

// maxFile bounds every file that is read back.
const maxFile = 1 << 20

// HostKey reads the host's public key, as a line without its comment.
func (h *Host) HostKey() (string, error) {
	line, err := readFile(h.layout.HostKey)
	if err != nil {
		return "", fmt.Errorf("read host key: %w", err)
	}
	key, err := parseKey(string(bytes.TrimRight(line, "\r\n")))
	if err != nil {
		return "", fmt.Errorf("host key %s: %w", h.layout.HostKey, err)
	}
	return keyLine(key), nil
}

// Trusts gives the SHA256 fingerprints of the CAs that sshd goes by now, as its own configuration says, whoever wrote
// it. Empty: it trusts none.
func (h *Host) Trusts(ctx context.Context) ([]string, error) {
	effective, err := h.ask(ctx)
	if err != nil {
		return nil, err
	}
	path := effective["trustedusercakeys"]
	if path == "" || path == "none" {
		return nil, nil
	}
	lines, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read trusted CA keys: %w", err)
	}
	var prints []string
	for rest := lines; len(bytes.TrimSpace(rest)) > 0; {
		var key ssh.PublicKey
		key, _, _, rest, err = ssh.ParseAuthorizedKey(rest)
		if err != nil {
			break // only comments are left
		}
		prints = append(prints, ssh.FingerprintSHA256(key))
	}
	return prints, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f)
}

func readAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("file is larger than %d bytes", maxFile)
	}
	return b, err
}
