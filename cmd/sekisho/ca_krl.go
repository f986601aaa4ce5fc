package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sekisho/sekisho"
)

type caKRLCmd struct {
	Hosts  bool   `help:"The list of host certificates and keys, for ssh's RevokedHostKeys, instead of that for sshd's RevokedKeys."`
	Output string `short:"o" placeholder:"FILE" help:"Write it there, whole or not at all, instead of to the standard output."`
}

func (*caKRLCmd) Help() string {
	return `Gets the newest revocation list, an OpenSSH KRL (binary). It is public, so no sign-in is needed. Where a file is written it is replaced at once, and only by a list that was read whole: sshd lets nobody in by a broken list, and everybody by an empty file.

Examples:

    sekisho ca krl -o /etc/ssh/revoked_keys && ssh-keygen -Q -l -f /etc/ssh/revoked_keys
    sekisho ca krl --hosts | ssh-keygen -Q -f /dev/stdin web1-cert.pub
`
}

func (cmd *caKRLCmd) Run(a *app) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	body, list, err := c.RevocationList(a.ctx, cmd.Hosts)
	if err != nil {
		return err
	}
	if cmd.Output == "" {
		if _, ok := terminalAt(a.out); ok {
			return &usageError{"the list is binary: name a file with -o, or send it on"}
		}
		_, err := a.out.Write(body)
		return err
	}
	if err := writeList(cmd.Output, body); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.err, "List %d is in %s.\n", list.Number, a.shown(cmd.Output))
	return err
}

// cause is what ails a file, without its name: that of a temporary one says nothing to anybody.
func cause(err error) error {
	if at := new(fs.PathError); errors.As(err, &at) {
		return at.Err
	}
	return err
}

// writeList replaces a file that others, such as sshd, read.
func writeList(path string, body []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("The list cannot be written to %s: %s.", plain(path), cause(err)), Next: "Name a file in a folder that you may write to.", Cause: err,
		}
	}
	defer os.Remove(f.Name()) // gone once it has the path
	_, err = f.Write(body)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
