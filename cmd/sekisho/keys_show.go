package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sekisho/sekisho/recording"
)

type keysShowCmd struct {
	Key  string `arg:"" name:"name|file|uri" suggest:"keys" help:"A key in the key folder, a private key or its .pub, or a PKCS#11 URI."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*keysShowCmd) Help() string {
	return `Prints the recipient line of a key, which is what recordings are sealed to, and on stderr what is known of it: ID, label, kind, and what protects it. The private key itself is never printed.

The line of a key under a passphrase is read from the .pub beside it; if that is gone, the passphrase is asked for. A PKCS#11 URI has the token asked, which may want its PIN.

Examples:

    sekisho keys show dpo
    sekisho keys show auditor.key
    sekisho keys show auditor.key.pub --json | jq -r .id
    sekisho keys show 'pkcs11:token=audit;object=card?module-path=/usr/lib/softhsm/libsofthsm2.so'
`
}

// shownKey is a key as keys show --json prints it.
type shownKey struct {
	keyInfo
	Recipient string `json:"recipient"`
}

func (cmd *keysShowCmd) Run(a *app) error {
	k, to, err := cmd.look(a)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return a.json(shownKey{k, to.String()})
	}
	for _, line := range [][2]string{
		{"ID", k.ID}, {"Label", k.Label}, {"Kind", k.KEM}, {"FIPS", yesNo(k.FIPS)}, {"Protection", k.Protection}, {"File", k.File}, {"Created", local(k.Created)},
	} {
		if line[1] != "" {
			fmt.Fprintf(a.err, "%-11s %s\n", line[0], plain(line[1]))
		}
	}
	_, err = fmt.Fprintln(a.out, to)
	return err
}

func (cmd *keysShowCmd) look(a *app) (keyInfo, recording.Recipient, error) {
	if isTokenURI(cmd.Key) {
		key, err := a.tryOnToken(cmd.Key)
		if err != nil {
			return keyInfo{}, recording.Recipient{}, err
		}
		return keyInfo{ID: key.ID(), KEM: key.KEM().String(), FIPS: key.KEM().FIPS(), Protection: onToken}, key.Recipient(), nil
	}
	k, err := a.named(cmd.Key)
	if err != nil {
		return k, recording.Recipient{}, err
	}
	for _, path := range []string{k.path, k.path + publicEnding, strings.TrimSuffix(k.path, filepath.Ext(k.path)) + publicEnding} {
		if to, err := readRecipient(path); err == nil && to.ID() == k.ID {
			return k, to, nil
		}
	}
	key, err := a.open(k)
	if err != nil {
		return k, recording.Recipient{}, err
	}
	return k, key.Recipient(), nil
}

// named describes the key that a person named by its name in the key folder or by its file.
func (a *app) named(name string) (keyInfo, error) {
	k, err := a.inFolder(name)
	if !isMissing(err) {
		return k, err
	}
	k, err = describeKey(name)
	var refusal error
	if isMissing(err) {
		refusal = noSuchKey(name, err)
	} else if err != nil {
		refusal = noPrivateKey(name, err)
	}
	if k.Protection == unprotected || k.Protection == underPassphrase {
		_, refusal = readPrivate(name)
	}
	return k, errors.Join(refusal)
}

// tryOnToken opens a key on a token and has it work once: its line is about to be handed on.
func (a *app) tryOnToken(uri string) (*recording.PrivateKey, error) {
	exchanger, err := a.exchanger(uri)
	if err != nil {
		return nil, err
	}
	if err := agrees(exchanger); err != nil {
		return nil, err
	}
	return recording.NewPrivateKey(exchanger, "")
}
