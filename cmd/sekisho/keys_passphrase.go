package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

type keysPassphraseCmd struct {
	Key               string `arg:"" name:"name|file" suggest:"keys" help:"A key in the key folder, or a private key's file."`
	NewPassphraseFile string `xor:"protect" placeholder:"FILE" help:"Read the new passphrase from FILE, - for stdin, instead of asking."`
	NoPassphrase      bool   `xor:"protect" help:"Take the passphrase away: whoever has the file can then use the key."`
}

func (*keysPassphraseCmd) Help() string {
	return `Sets the passphrase of a private key, changes it, or takes it away. The present one is asked for, or read from the file that ` + passphraseFileVariable + ` names. The file is replaced in one step; key, ID and recipient line stay the same.

Copies of the file that were made before still open with the passphrase they were made with.

Examples:

    sekisho keys passphrase dpo
    sekisho keys passphrase auditor.key --new-passphrase-file /run/secrets/new
    sekisho keys passphrase auditor.key --no-passphrase
`
}

func (cmd *keysPassphraseCmd) Run(a *app) error {
	if isTokenURI(cmd.Key) {
		return &usageError{"a key on a token has no passphrase; the token's own tools change its PIN"}
	}
	k, err := a.named(cmd.Key)
	if err != nil {
		return err
	}
	if err := cmd.check(k); err != nil {
		return err
	}
	key, err := a.readKey(k.path)
	if err != nil {
		return err
	}
	text, err := cmd.protect(a, key)
	if err != nil {
		return err
	}
	defer clear(text)
	if err := replacePrivate(k.path, text); err != nil {
		return err
	}
	what := "is under the new passphrase"
	if cmd.NoPassphrase {
		what = "has no passphrase any more: whoever has the file can use it"
	}
	_, err = fmt.Fprintf(a.err, "Private key %s in %s %s.\n", key.ID(), k.File, what)
	return err
}

// check refuses what has nothing to change.
func (cmd *keysPassphraseCmd) check(k keyInfo) error {
	switch {
	case k.Protection == onToken:
		return &sekisho.Refusal{Sentence: fmt.Sprintf("%s is on a token, which has a PIN instead.", k.Name), Next: "Change the PIN with the token's own tools."}
	case k.Protection == publicOnly:
		return &sekisho.Refusal{Sentence: fmt.Sprintf("%s is a recipient line, the public half.", k.File), Next: "Give the private key."}
	case k.Protection == unprotected && cmd.NoPassphrase:
		return &sekisho.Refusal{Sentence: fmt.Sprintf("%s has no passphrase.", k.File), Next: "Leave --no-passphrase out to set one."}
	}
	return nil
}

// protect is app.protect with the new passphrase from its own file: the variable names the present one.
func (cmd *keysPassphraseCmd) protect(a *app, key *recording.PrivateKey) ([]byte, error) {
	if cmd.NoPassphrase {
		return key.Encode()
	}
	passphrase, err := a.newPassphrase(cmd.NewPassphraseFile, "--new-passphrase-file")
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	return key.Encrypt(passphrase)
}

// replacePrivate puts text in the place of a private key's file. Where the name is a symbolic link, what it leads to is
// replaced.
func replacePrivate(path string, text []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("find the file: %w", err)
	}
	return replace(path, text)
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
