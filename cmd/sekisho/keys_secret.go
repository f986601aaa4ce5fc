package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/term"

	"github.com/sekisho/sekisho"
)

// passphraseFileVariable names the file with the passphrase in it. A secret itself is never taken from the environment
// or from the command line: both can be read by others, or are kept.
const passphraseFileVariable = "SEKISHO_KEY_PASSPHRASE_FILE"

// maxSecret bounds a passphrase or PIN, in bytes.
const maxSecret = 1 << 10

var errNoTerminal = errors.New("there is no terminal to ask at")

// ask reads a line from the terminal on stdin without showing it. Where stdin is none, the error is errNoTerminal.
// The terminal is left as it was found, also when the person interrupts.
func (a *app) ask(what string) ([]byte, error) {
	f, ok := terminalAt(a.in)
	if !ok {
		return nil, errNoTerminal
	}
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("ask for the %s: %w", what, err)
	}
	if err := hideEcho(fd); err != nil {
		return nil, fmt.Errorf("ask for the %s: %w", what, err)
	}
	fmt.Fprintf(a.err, "%s: ", plain(what))
	text, err := a.hiddenLine(fd)
	fmt.Fprintln(a.err)
	if err = errors.Join(err, term.Restore(fd, before)); err == nil && len(text) > maxSecret {
		err = &sekisho.Refusal{Sentence: fmt.Sprintf("What was typed is longer than %d bytes.", maxSecret), Next: "Try again."}
	}
	if errors.Is(err, io.EOF) {
		err = &sekisho.Refusal{Sentence: "Nothing was typed.", Next: "Try again.", Cause: err}
	}
	if err != nil {
		clear(text)
		return nil, err
	}
	return text, nil
}

// hiddenLine reads a line from a terminal until the person interrupts.
func (a *app) hiddenLine(fd int) ([]byte, error) {
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() { // when interrupted it waits on, for the process is about to end
		text, err := readHidden(fd)
		read <- line{text, err}
	}()
	select {
	case <-a.ctx.Done():
		return nil, a.ctx.Err()
	case l := <-read:
		return l.text, l.err
	}
}

// secretFile reads a secret from a file that nobody else can read, "-" for stdin. One newline at its end is not part
// of it.
func (a *app) secretFile(what, path string) ([]byte, error) {
	r := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read the %s: %w", what, err)
		}
		defer f.Close()
		if err := checkPrivate("file with the "+what, path, f); err != nil {
			return nil, err
		}
		r = f
	}
	text := make([]byte, maxSecret+2+1)
	defer clear(text)
	n, err := io.ReadFull(r, text)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("read the %s: %w", what, err)
	}
	secret, cut := bytes.CutSuffix(text[:n], []byte("\n"))
	if cut {
		secret = bytes.TrimSuffix(secret, []byte("\r"))
	}
	switch {
	case len(secret) == 0:
		return nil, fmt.Errorf("read the %s: %s is empty", what, path)
	case len(secret) > maxSecret:
		return nil, fmt.Errorf("read the %s: %s has more than %d bytes", what, path, maxSecret)
	}
	return bytes.Clone(secret), nil
}

// checkPrivate refuses a file with a secret in it that others on this machine can read or change. Windows keeps no such modes.
func checkPrivate(what, path string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("The %s %s can be used by others on this machine (mode %04o).", what, path, info.Mode().Perm()),
			Next:     fmt.Sprintf("Run: chmod 600 %s", path),
		}
	}
	return nil
}
