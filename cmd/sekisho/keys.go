package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

type keysCmd struct {
	Generate keysGenerateCmd `cmd:"" help:"Make a key pair that opens recordings."`
	Show     keysShowCmd     `cmd:"" help:"Print the recipient line of a key."`
}

type keysGenerateCmd struct {
	Out   string `short:"o" required:"" placeholder:"FILE" help:"Where the private key goes; FILE.pub gets the recipient line."`
	Label string `placeholder:"NAME" help:"A name that people will know the key by, such as auditors-2026."`
}

func (*keysGenerateCmd) Help() string {
	return `Makes a key pair for reading recordings. The recipient line is printed and written to FILE.pub: whoever runs Sekisho adds it to the recipients, and recordings are sealed to it from then on.

The private key in FILE is all that opens those recordings. Nobody else has a copy: keep it off the servers, and keep a second one somewhere safe.

Examples:

    sekisho keys generate -o auditor.key --label auditors-2026
`
}

func (cmd *keysGenerateCmd) Run(a *app) error {
	if err := recording.CheckLabel(cmd.Label); err != nil {
		return &usageError{err.Error()}
	}
	key, err := recording.GenerateKey(recording.MLKEM768X25519, cmd.Label)
	if err != nil {
		return err
	}
	private, err := key.Encode()
	if err != nil {
		return err
	}
	line := key.Recipient().String() + "\n"
	if err := writeNew(cmd.Out, private, 0o600); err != nil {
		return err
	}
	if err := writeNew(cmd.Out+".pub", []byte(line), 0o644); err != nil {
		return errors.Join(err, os.Remove(cmd.Out))
	}
	fmt.Fprintf(a.err, "Private key %s is in %s; keep it safe. Its recipient line, for the server's configuration:\n", key.ID(), cmd.Out)
	_, err = io.WriteString(a.out, line)
	return err
}

// writeNew makes a file that must not be there yet. O_EXCL follows no symbolic link either (open(2)).
func writeNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return &sekisho.Refusal{Sentence: fmt.Sprintf("%s is there already.", path), Next: "Give another name; nothing is ever overwritten.", Cause: err}
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

type keysShowCmd struct {
	File string `arg:"" type:"existingfile" help:"A private key, or its .pub."`
}

func (*keysShowCmd) Help() string {
	return `Prints the recipient line of a key, which is what recordings are sealed to, and on stderr the key's ID. The private key itself is never printed.

Examples:

    sekisho keys show auditor.key
`
}

func (cmd *keysShowCmd) Run(a *app) error {
	text, err := readSmall(cmd.File)
	if err != nil {
		return err
	}
	to, err := recording.ParseRecipient(string(text))
	if err != nil {
		key, err := readKey(cmd.File)
		if err != nil {
			return err
		}
		to = key.Recipient()
	}
	fmt.Fprintln(a.err, to.ID())
	_, err = fmt.Fprintln(a.out, to)
	return err
}

// maxKeyFile bounds a key's file in bytes.
const maxKeyFile = 8 << 10

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(text) > maxKeyFile {
		err = fmt.Errorf("%s is too large to be a key", path)
	}
	return text, err
}

// readKey reads a private key from a file that nobody else may read.
func readKey(path string) (*recording.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("The key %s cannot be read.", path), Next: "Give --key the private key that the recording was sealed to.", Cause: err,
		}
	}
	text, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	key, err := recording.ParsePrivateKey(text)
	if err != nil {
		return nil, &sekisho.Refusal{Sentence: fmt.Sprintf("%s holds no private key: %v.", path, err), Next: "sekisho keys generate makes one.", Cause: err}
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("The private key %s can be read by others (mode %04o).", path, info.Mode().Perm()),
			Next:     fmt.Sprintf("Run: chmod 600 %s", path),
		}
	}
	return key, nil
}
