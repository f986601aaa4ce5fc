package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/pkcs11uri"
	"github.com/sekisho/sekisho/recording"
)

type keysGenerateCmd struct {
	Name           string `arg:"" optional:"" help:"The key's name in the key folder."`
	Out            string `short:"o" placeholder:"FILE" help:"Where the private key goes, instead of the key folder; FILE.pub gets the recipient line."`
	Label          string `placeholder:"LABEL" help:"What people will know the key by, such as auditors-2026; NAME if not given."`
	KEM            string `name:"kem" suggest:"kems" placeholder:"KEM" help:"Kind of key: mlkem768-x25519 (if not given), mlkem768-p256 or p256."`
	PassphraseFile string `xor:"protect" placeholder:"FILE" help:"Read the passphrase from FILE, - for stdin, instead of asking."`
	NoPassphrase   bool   `xor:"protect" help:"Whoever has the file can use the key."`
	Token          string `xor:"protect" placeholder:"URI" help:"Make the pair on this PKCS#11 token, which the private key never leaves."`
}

func (*keysGenerateCmd) Help() string {
	return `Makes a key pair for reading recordings. The recipient line is printed and kept beside the private key in a file that ends in .pub: whoever runs Sekisho adds it to the recipients, and recordings are sealed to it from then on.

The private key is all that opens those recordings. Nobody else has a copy: keep it off the servers, and keep a second one somewhere safe. It goes to ~/.sekisho/keys/NAME.key under a passphrase, which is asked for twice. Without a terminal the passphrase is read from the file that --passphrase-file or ` + passphraseFileVariable + ` names; nobody else may be able to read that file. A passphrase has 1 to 1,024 bytes. Nothing checks how hard it is to guess, and whoever gets hold of the file can try as many as they like: take a long one, such as six words chosen at random. A passphrase is never taken from the command line, and no file is ever overwritten.

mlkem768-x25519 holds against quantum computers. mlkem768-p256 does, too, and is made of FIPS 140 algorithms alone. p256 is for tokens and does not.

With --token the pair is made on a PKCS#11 token (RFC 7512) as a p256 key that cannot be taken off it. NAME then stands for it. This needs a build with PKCS#11.

Examples:

    sekisho keys generate dpo
    sekisho keys generate -o auditor.key --label auditors-2026
    sekisho keys generate ci --no-passphrase
    sekisho keys generate dpo --passphrase-file /run/secrets/dpo --kem mlkem768-p256
    sekisho keys generate card --token 'pkcs11:token=audit;object=card?module-path=/usr/lib/softhsm/libsofthsm2.so'
`
}

func (cmd *keysGenerateCmd) Run(a *app) error {
	if err := cmd.check(); err != nil {
		return err
	}
	base, err := cmd.place(a)
	if err != nil {
		return err
	}
	if cmd.Token != "" {
		return cmd.onToken(a, base)
	}
	return cmd.inFile(a, base)
}

// check finds what makes no sense before anybody is asked for a passphrase.
func (cmd *keysGenerateCmd) check() error {
	if (cmd.Name == "") == (cmd.Out == "") {
		return &usageError{"want the key's name in the key folder, or -o FILE"}
	}
	if cmd.Name != "" && !keyName.MatchString(cmd.Name) {
		return &usageError{fmt.Sprintf("%.70q is no name for a key: want at most 64 of the characters A-Z a-z 0-9 . _ -, a letter or digit first; -o FILE makes it elsewhere", cmd.Name)}
	}
	if cmd.Label == "" {
		cmd.Label = cmd.Name
	}
	if err := recording.CheckLabel(cmd.Label); err != nil {
		return &usageError{err.Error()}
	}
	if cmd.KEM == "" {
		cmd.KEM = recording.MLKEM768X25519.String()
		if cmd.Token != "" {
			cmd.KEM = recording.P256.String()
		}
	}
	kem, err := recording.ParseKEM(cmd.KEM)
	if err != nil {
		return &usageError{fmt.Sprintf("--kem: %v", err)}
	}
	if cmd.Token != "" && kem != recording.P256 {
		return &usageError{"--kem: a key on a token is of kind p256"}
	}
	return nil
}

// place is where the key goes, without the ending; none of its files may be there.
func (cmd *keysGenerateCmd) place(a *app) (string, error) {
	base, taken := cmd.Out, []string{"", publicEnding}
	if cmd.Name != "" {
		folder, err := a.keyFolder()
		if err != nil {
			return "", err
		}
		base, taken = filepath.Join(folder.dir, cmd.Name), []string{keyEnding, tokenEnding, publicEnding}
	}
	for _, ending := range taken {
		if _, err := os.Lstat(base + ending); !errors.Is(err, fs.ErrNotExist) {
			return "", errors.Join(err, thereAlready(base+ending))
		}
	}
	return base, nil
}

func (cmd *keysGenerateCmd) inFile(a *app, base string) error {
	path := base
	if cmd.Name != "" {
		path += keyEnding
	}
	kem, err := recording.ParseKEM(cmd.KEM)
	if err != nil {
		return err
	}
	key, err := recording.GenerateKey(kem, cmd.Label)
	if err != nil {
		return err
	}
	private, err := cmd.protect(a, key)
	if err != nil {
		return err
	}
	defer clear(private)
	public := base + publicEnding
	if err := writePair(path, private, public, key.Recipient()); err != nil {
		return err
	}
	how := "under its passphrase"
	if cmd.NoPassphrase {
		how = "without a passphrase: whoever has the file can use it"
	}
	fmt.Fprintf(a.err, "Private key %s is in %s, %s. Keep a copy somewhere safe.\n", key.ID(), a.shown(path), how)
	return a.tellRecipient(key.Recipient())
}

// tellRecipient prints the line that the administrators want, and says so.
func (a *app) tellRecipient(to recording.Recipient) error {
	fmt.Fprintln(a.err, "Give its recipient line to whoever runs Sekisho, for recording.recipients:")
	_, err := fmt.Fprintln(a.out, to)
	return err
}

// writePair writes the file with what is private and the one with the recipient line: both, or none.
func writePair(path string, private []byte, public string, to recording.Recipient) error {
	if err := writeNew(path, private, 0o600); err != nil {
		return err
	}
	if err := writeNew(public, []byte(to.String()+"\n"), 0o644); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return syncFolder(filepath.Dir(path))
}

// protect gives the private key's file: under a passphrase unless the person wants none.
func (cmd *keysGenerateCmd) protect(a *app, key *recording.PrivateKey) ([]byte, error) {
	if cmd.NoPassphrase {
		return key.Encode()
	}
	file := cmd.PassphraseFile
	if file == "" {
		file = os.Getenv(passphraseFileVariable)
	}
	passphrase, err := a.newPassphrase(file, "--passphrase-file")
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	return key.Encrypt(passphrase)
}

// newPassphrase reads a passphrase that is to be set, from a file or twice from the terminal. The flag is the one that
// names such a file.
func (a *app) newPassphrase(file, flag string) ([]byte, error) {
	if file != "" {
		return a.secretFile("passphrase", file)
	}
	first, err := a.ask("New passphrase of the private key")
	if errors.Is(err, errNoTerminal) {
		return nil, &usageError{"there is no terminal to ask for a passphrase at: give " + flag + " FILE, or --no-passphrase for a key that whoever has the file can use"}
	}
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return nil, &sekisho.Refusal{Sentence: "The passphrase is empty.", Next: "Choose one, or give --no-passphrase for a key that whoever has the file can use."}
	}
	again, err := a.ask("The same again")
	defer clear(again)
	if err == nil && !bytes.Equal(first, again) {
		err = &sekisho.Refusal{Sentence: "The two passphrases are not the same.", Next: "Nothing was written; try again."}
	}
	if err != nil {
		clear(first)
		return nil, err
	}
	return first, nil
}

func thereAlready(path string) error {
	return &sekisho.Refusal{Sentence: fmt.Sprintf("%s is there already.", path), Next: "Give another name; nothing is ever overwritten."}
}

// writeNew makes a file that must not be there yet. O_EXCL follows no symbolic link either (open(2)).
func writeNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return thereAlready(path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
	}
	return nil
}

// syncFolder makes the names in a folder as durable as the files. Windows has no such thing.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// onToken makes the pair on a token. In the key folder, NAME.token then says where it is.
func (cmd *keysGenerateCmd) onToken(a *app, base string) error {
	uri, err := readTokenURI(cmd.Token)
	if err != nil {
		return &usageError{fmt.Sprintf("--token: %v", err)}
	}
	if uri.Object == "" {
		uri.Object = cmd.Name
	}
	if uri.Object == "" || uri.ID != "" {
		return &usageError{"--token: the URI names the key to be made by object=NAME, and by no id"}
	}
	exchanger, err := a.makeOnToken(uri)
	if err != nil {
		return err
	}
	a.atEnd(exchanger.Close)
	key, err := recording.NewPrivateKey(exchanger, cmd.Label)
	if err != nil {
		return err
	}
	if err := cmd.writeToken(base, uri, key.Recipient()); err != nil {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("The key %s was made on the token, but its recipient line could not be kept: %v.", key.ID(), err),
			Next:     fmt.Sprintf("sekisho keys show '%s' prints it.", uri), Cause: err,
		}
	}
	fmt.Fprintf(a.err, "Private key %s is on the token and stays there. It is used with: --key %s\n", key.ID(), cmd.use(uri))
	return a.tellRecipient(key.Recipient())
}

// use is what --key wants for the new key.
func (cmd *keysGenerateCmd) use(uri pkcs11uri.URI) string {
	if cmd.Name != "" {
		return cmd.Name
	}
	return "'" + uri.String() + "'"
}

func (cmd *keysGenerateCmd) writeToken(base string, uri pkcs11uri.URI, to recording.Recipient) error {
	if cmd.Name != "" {
		return writePair(base+tokenEnding, []byte(uri.String()+"\n"), base+publicEnding, to)
	}
	if err := writeNew(base+publicEnding, []byte(to.String()+"\n"), 0o644); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(base))
}

type keysNamesCmd struct{}

func (keysNamesCmd) Run(a *app) error {
	folder, err := a.keyFolder()
	if err != nil {
		return err
	}
	keys, err := folder.list(io.Discard)
	for _, k := range keys {
		fmt.Fprintln(a.out, k.Name)
	}
	return err
}
