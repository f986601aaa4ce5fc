package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/client"
	"github.com/sekisho/sekisho/pkcs11uri"
	"github.com/sekisho/sekisho/recording"
)

// Endings of files in the key folder. NAME.pub holds the recipient line. The private half is in NAME.key; or it is on
// a token, and NAME.token holds the URI that finds it there.
const (
	keyEnding    = ".key"
	tokenEnding  = ".token"
	publicEnding = ".pub"
)

// maxKeys bounds how many keys of the folder are looked at.
const maxKeys = 1000

var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// keyFolder is keys/ in the person's home folder: their own keys, by name.
type keyFolder struct {
	dir, shown string
}

func (a *app) keyFolder() (keyFolder, error) {
	home, err := client.OpenHome(a.home)
	if err != nil {
		return keyFolder{}, err
	}
	f := keyFolder{dir: home.Path("keys"), shown: home.Shown("keys")}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return f, fmt.Errorf("make the key folder: %w", err)
	}
	info, err := os.Stat(f.dir)
	if err != nil {
		return f, fmt.Errorf("look at the key folder: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return f, &sekisho.Refusal{
			Sentence: fmt.Sprintf("The key folder %s can be used by others on this machine (mode %04o).", f.shown, info.Mode().Perm()),
			Next:     fmt.Sprintf("Run: chmod 700 %s", f.shown),
		}
	}
	return f, nil
}

// shown is a path as people want it: with ~ where it is in the standard key folder.
func (a *app) shown(path string) string {
	if f, err := a.keyFolder(); err == nil && filepath.Dir(path) == f.dir {
		return f.shown + "/" + filepath.Base(path)
	}
	return path
}

// What stands between a key and whoever has its file.
const (
	underPassphrase = "passphrase"
	unprotected     = "none"
	onToken         = "token"
	publicOnly      = "public" // the recipient line alone: it opens nothing
)

// keyInfo is what is known of a key without using it, as --json shows it.
type keyInfo struct {
	Name       string    `json:"name,omitempty"`
	ID         string    `json:"id"`
	Label      string    `json:"label,omitempty"`
	KEM        string    `json:"kem"`
	FIPS       bool      `json:"fips"`
	Protection string    `json:"protection"`
	File       string    `json:"file"`
	Created    time.Time `json:"created"`
	// Sealed says that recordings are sealed to it now; nil where that is not known.
	Sealed *bool `json:"sealed_now,omitempty"`

	path string
}

// opens says whether the key can open what is sealed to one of those.
func (k keyInfo) opens(ids []string) bool {
	return k.Protection != publicOnly && slices.Contains(ids, k.ID)
}

// list gives the folder's keys by name. What is no key is told to warn and left out.
func (f keyFolder) list(warn io.Writer) ([]keyInfo, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("read the key folder: %w", err)
	}
	var names []string
	for _, e := range entries {
		ending := filepath.Ext(e.Name())
		name := strings.TrimSuffix(e.Name(), ending)
		if slices.Contains([]string{keyEnding, tokenEnding, publicEnding}, ending) && keyName.MatchString(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > maxKeys {
		return nil, fmt.Errorf("the key folder %s has more than %d keys", f.shown, maxKeys)
	}
	slices.Sort(names)
	var keys []keyInfo
	for _, name := range names {
		k, err := f.find(name)
		if err != nil {
			fmt.Fprintf(warn, "%s: %s\n", plain(name), plain(err.Error()))
			continue
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// find describes the key of that name. Absence is fs.ErrNotExist.
func (f keyFolder) find(name string) (keyInfo, error) {
	base := filepath.Join(f.dir, name)
	for _, ending := range []string{keyEnding, tokenEnding, publicEnding} {
		k, err := describeKey(base + ending)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		k.Name, k.File, k.path = name, f.shown+"/"+name+ending, base+ending
		if info, err := os.Stat(base + publicEnding); err == nil { // never rewritten, unlike the private key
			k.Created = info.ModTime()
		}
		return k, err
	}
	return keyInfo{}, fs.ErrNotExist
}

// describeKey says what can be said of a key's file without its passphrase or token.
func describeKey(path string) (keyInfo, error) {
	text, when, err := readSmall(path)
	defer clear(text)
	if err != nil {
		return keyInfo{}, err
	}
	if filepath.Ext(path) == tokenEnding {
		return describeToken(path, string(text), when)
	}
	if to, err := recording.ParseRecipient(string(text)); err == nil {
		return newKeyInfo(to.ID(), to.Label(), to.KEM(), publicOnly, path, when), nil
	}
	key, err := recording.ParsePrivateKey(text)
	if err == nil {
		return newKeyInfo(key.ID(), key.Recipient().Label(), key.KEM(), unprotected, path, when), nil
	}
	if !errors.Is(err, recording.ErrLocked) {
		return keyInfo{}, err
	}
	locked, err := recording.ParseLockedKey(text)
	if err != nil {
		return keyInfo{}, err
	}
	return newKeyInfo(locked.ID(), locked.Label(), locked.KEM(), underPassphrase, path, when), nil
}

// describeToken describes the key on a token by the recipient line beside the file with its URI.
func describeToken(path, text string, when time.Time) (keyInfo, error) {
	if _, err := pkcs11uri.Parse(strings.TrimSuffix(text, "\n")); err != nil {
		return keyInfo{}, fmt.Errorf("%s: %w", path, err)
	}
	to, err := readRecipient(strings.TrimSuffix(path, tokenEnding) + publicEnding)
	if err != nil {
		return keyInfo{}, fmt.Errorf("%s has no recipient line beside it: %v", path, err)
	}
	return newKeyInfo(to.ID(), to.Label(), to.KEM(), onToken, path, when), nil
}

func newKeyInfo(id, label string, kem recording.KEM, protection, path string, when time.Time) keyInfo {
	return keyInfo{ID: id, Label: label, KEM: kem.String(), FIPS: kem.FIPS(), Protection: protection, File: path, Created: when.UTC(), path: path}
}

func readRecipient(path string) (recording.Recipient, error) {
	text, _, err := readSmall(path)
	if err != nil {
		return recording.Recipient{}, err
	}
	return recording.ParseRecipient(string(text))
}

// maxKeyFile bounds a key's file in bytes.
const maxKeyFile = 8 << 10

// readSmall reads a key's file, with the time when it was written.
func readSmall(path string) ([]byte, time.Time, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	return readAll(f)
}

// readAll reads what may be secret into one piece of memory, which whoever gets it can clear.
func readAll(f *os.File) ([]byte, time.Time, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	text := make([]byte, maxKeyFile+1)
	n, err := io.ReadFull(f, text)
	if err == nil {
		return text, info.ModTime(), fmt.Errorf("%s is too large to be a key", f.Name())
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return text[:n], info.ModTime(), err
}
