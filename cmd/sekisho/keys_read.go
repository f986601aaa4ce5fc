package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// passphraseTries is how often a person may mistype.
const passphraseTries = 3

// key opens the private key that a person named: a name in the key folder, a file, or a PKCS#11 URI. It asks for what
// it is protected with.
func (a *app) key(name string) (*recording.PrivateKey, error) {
	if isTokenURI(name) {
		return a.keyOnToken(name, "")
	}
	k, err := a.inFolder(name)
	if errors.Is(err, fs.ErrNotExist) {
		return a.readKey(name)
	}
	if err != nil {
		return nil, err
	}
	return a.open(k)
}

// inFolder describes the key of that name in the key folder. Where it is not there, and a file may be meant, the error
// is fs.ErrNotExist.
func (a *app) inFolder(name string) (keyInfo, error) {
	if !keyName.MatchString(name) {
		return keyInfo{}, fs.ErrNotExist
	}
	folder, err := a.keyFolder()
	if err == nil {
		return folder.find(name)
	}
	if _, serr := os.Stat(name); serr == nil { // a file opens without a home folder
		return keyInfo{}, fs.ErrNotExist
	}
	return keyInfo{}, err
}

// open opens a key of the key folder.
func (a *app) open(k keyInfo) (*recording.PrivateKey, error) {
	if k.Protection != onToken {
		return a.readKey(k.path)
	}
	uri, _, err := readSmall(k.path)
	if err != nil {
		return nil, err
	}
	key, err := a.keyOnToken(strings.TrimSuffix(string(uri), "\n"), k.Label)
	if err == nil && key.ID() != k.ID {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("The key that %s finds on the token is %s, not %s.", k.File, key.ID(), k.ID), Next: "Is it another token with the same names?",
		}
	}
	return key, err
}

// keyOnToken opens a key on a token. The label is what people know it by; the token does not keep it.
func (a *app) keyOnToken(text, label string) (*recording.PrivateKey, error) {
	return a.once(text, func() (*recording.PrivateKey, error) {
		exchanger, err := a.exchanger(text)
		if err != nil {
			return nil, err
		}
		return recording.NewPrivateKey(exchanger, label)
	})
}

// once opens a key, unless the command has opened it before for another recording.
func (a *app) once(name string, open func() (*recording.PrivateKey, error)) (*recording.PrivateKey, error) {
	if key := a.keys[name]; key != nil {
		return key, nil
	}
	key, err := open()
	if err != nil {
		return nil, err
	}
	if a.keys == nil {
		a.keys = map[string]*recording.PrivateKey{}
	}
	a.keys[name] = key
	return key, nil
}

// exchanger logs in to the token, which stays open until the command ends.
func (a *app) exchanger(text string) (tokenKey, error) {
	uri, err := readTokenURI(text)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("PKCS#11 URI: %v", err)}
	}
	exchanger, err := a.openToken(uri)
	if err != nil {
		return nil, err
	}
	a.atEnd(exchanger.Close)
	return exchanger, nil
}

// readKey reads a private key from a file that nobody else can use, and asks for its passphrase if it has one.
func (a *app) readKey(path string) (*recording.PrivateKey, error) {
	return a.once(path, func() (*recording.PrivateKey, error) { return a.openFile(path) })
}

func (a *app) openFile(path string) (*recording.PrivateKey, error) {
	text, err := readPrivate(path)
	defer clear(text)
	if err != nil {
		return nil, err
	}
	key, err := recording.ParsePrivateKey(text)
	if errors.Is(err, recording.ErrLocked) {
		return a.unlock(path, text)
	}
	if err != nil {
		return nil, noPrivateKey(path, err)
	}
	return key, nil
}

// readPrivate gives the text of a private key's file, which must be nobody else's.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, noSuchKey(path, err)
	}
	defer f.Close()
	text, _, err := readAll(f)
	if err != nil {
		return text, err
	}
	if _, err := recording.ParseRecipient(string(text)); err == nil { // public, whoever may read it
		return text, nil
	}
	return text, checkPrivate("private key", path, f)
}

func noSuchKey(path string, err error) error {
	return &sekisho.Refusal{
		Sentence: fmt.Sprintf("The key %s cannot be read.", path), Next: "Give a private key's file, or a name that sekisho keys list shows.", Cause: err,
	}
}

func noPrivateKey(path string, err error) error {
	return &sekisho.Refusal{Sentence: fmt.Sprintf("%s holds no private key: %v.", path, err), Next: "sekisho keys generate makes one.", Cause: err}
}

// unlock asks for the passphrase of a key, on a terminal up to three times.
func (a *app) unlock(path string, text []byte) (*recording.PrivateKey, error) {
	locked, err := recording.ParseLockedKey(text)
	if err != nil {
		return nil, noPrivateKey(path, err)
	}
	if file := os.Getenv(passphraseFileVariable); file != "" {
		return a.unlockWith(locked, path, file)
	}
	for try := 1; ; try++ {
		passphrase, err := a.ask("Passphrase of " + a.shown(path))
		if errors.Is(err, errNoTerminal) {
			return nil, &sekisho.Refusal{
				Sentence: fmt.Sprintf("The private key %s is under a passphrase, and there is no terminal to ask for it at.", path),
				Next:     "Put the passphrase into a file that only you can read, and name that by " + passphraseFileVariable + ".",
			}
		}
		if err != nil {
			return nil, err
		}
		key, err := locked.Unlock(passphrase)
		clear(passphrase)
		if err == nil || try == passphraseTries {
			return key, wrongPassphrase(path, err)
		}
		fmt.Fprintln(a.err, "That is not its passphrase.")
	}
}

// unlockWith opens a key with the passphrase in a file.
func (a *app) unlockWith(locked *recording.LockedKey, path, file string) (*recording.PrivateKey, error) {
	passphrase, err := a.secretFile("passphrase", file)
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	key, err := locked.Unlock(passphrase)
	return key, wrongPassphrase(path, err)
}

func wrongPassphrase(path string, err error) error {
	if err == nil {
		return nil
	}
	return &sekisho.Refusal{
		Sentence: fmt.Sprintf("The private key %s does not open: the passphrase is wrong, or the file was changed.", path),
		Next:     "Without its passphrase a key is lost; another recipient's key opens the same recordings.", Cause: err,
	}
}

// keyFor opens the key that is to open a recording: the one that was named, or else the only one of the key folder
// that the recording was sealed to. A key that does not open it is told so before its passphrase or PIN is asked for.
func (a *app) keyFor(h recording.Header, name string) (*recording.PrivateKey, error) {
	if id := a.idOf(name); id != "" {
		if err := h.CheckKey(id); err != nil {
			return nil, a.wrongKey(err)
		}
	}
	if name != "" {
		return a.key(name)
	}
	folder, err := a.keyFolder()
	if err != nil {
		return nil, err
	}
	found, err := folder.openers(h.Recipients)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 1:
		return a.open(found[0])
	case len(found) > 1:
		return nil, &usageError{fmt.Sprintf("%s open this recording: say which with --key", names(found))}
	}
	return nil, &sekisho.Refusal{
		Sentence: fmt.Sprintf("No key in %s opens this recording; it was sealed to %s.", folder.shown, a.labelled(h.Recipients)),
		Next:     "Give the private key with --key.",
	}
}

// idOf is the ID of the private key that a person named, "" where that cannot be told without opening it.
func (a *app) idOf(name string) string {
	k, err := a.inFolder(name)
	if err != nil {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() { // what comes through a pipe is read once only
			return ""
		}
		if k, err = describeKey(name); err != nil {
			return ""
		}
	}
	if k.Protection == publicOnly {
		return ""
	}
	return k.ID
}

// onlyKey names the private key of the key folder, where there is just one.
func (a *app) onlyKey() (string, error) {
	folder, err := a.keyFolder()
	if err != nil {
		return "", err
	}
	keys, err := folder.list(io.Discard)
	if err != nil {
		return "", err
	}
	keys = slices.DeleteFunc(keys, func(k keyInfo) bool { return !k.opens([]string{k.ID}) })
	switch len(keys) {
	case 0:
		return "", &usageError{fmt.Sprintf("there is no private key in %s: give one with --key", folder.shown)}
	case 1:
		return keys[0].Name, nil
	}
	return "", &usageError{fmt.Sprintf("%s are in %s: say which with --key", names(keys), folder.shown)}
}

// peek reads the header and leaves the recording as it was.
func (s *source) peek() (recording.Header, error) {
	var read bytes.Buffer
	h, err := recording.ReadHeader(io.TeeReader(s.Reader, &read))
	s.Reader = io.MultiReader(&read, s.Reader)
	return h, err
}

// openers are the folder's keys that open what is sealed to those IDs.
func (f keyFolder) openers(ids []string) ([]keyInfo, error) {
	keys, err := f.list(io.Discard)
	var found []keyInfo
	for _, k := range keys {
		if k.opens(ids) {
			found = append(found, k)
		}
	}
	return found, err
}

func names(keys []keyInfo) string {
	var list []string
	for _, k := range keys {
		list = append(list, k.Name)
	}
	return strings.Join(list, ", ")
}

// labelled are IDs, each with its label where that is known here.
func (a *app) labelled(ids []string) string {
	labels := a.labels()
	var list []string
	for _, id := range ids {
		if label := labels[id]; label != "" {
			id += " (" + label + ")"
		}
		list = append(list, id)
	}
	return strings.Join(list, ", ")
}

// labels are those of the recipients learned at login, and of the key folder. What cannot be read is left out: this
// is for sentences that are said anyway.
func (a *app) labels() map[string]string {
	labels := map[string]string{}
	if c, err := a.client(); err == nil {
		maps.Copy(labels, c.Config().Recipients)
	}
	if folder, err := a.keyFolder(); err == nil {
		keys, _ := folder.list(io.Discard)
		for _, k := range keys {
			if k.Label != "" {
				labels[k.ID] = k.Label
			}
		}
	}
	return labels
}

// wrongKey says, of a key that does not open a recording, which one would. Other errors are left as they are.
func (a *app) wrongKey(err error) error {
	var wrong *recording.WrongKeyError
	if !errors.As(err, &wrong) {
		return err
	}
	r := &sekisho.Refusal{
		Sentence: fmt.Sprintf("Wrong key: %s does not open this recording; it was sealed to %s.", a.labelled([]string{wrong.Have}), a.labelled(wrong.Want)),
		Next:     "Give --key one of those.", Cause: err,
	}
	folder, ferr := a.keyFolder()
	if ferr != nil {
		return r
	}
	if found, err := folder.openers(wrong.Want); err == nil && len(found) > 0 {
		r.Next = fmt.Sprintf("%s opens it: give --key %s.", found[0].File, found[0].Name)
	}
	return r
}
