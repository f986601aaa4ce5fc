package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// PublishedKey is a public key that may log in until it expires, beside certificates.
type PublishedKey struct {
	ID string
	// Key is a public key line.
	Key     string
	Expires time.Time
	// Allow is what it may do beside running commands and subsystems: words of publishedAllow.
	Allow []string
	// From are the addresses and CIDR ranges that it may come from; empty: anywhere.
	From []string
}

// ErrNotPublished says that published keys, or some of them, cannot log in. All else is in step.
var ErrNotPublished = errors.New("published keys are not served")

const (
	publishedDir  = "published"
	maxPublished  = 1000 // keys of all logins together
	maxFrom       = 16   // networks of one key
	publishedForm = "20060102150405Z"
)

// publishedAllow are the options that take back a part of "restrict" (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
var publishedAllow = []string{"pty", "port-forwarding", "agent-forwarding", "x11-forwarding"}

// publishedTypes are those of the keys, which may be security keys besides.
var publishedTypes = append(slices.Clone(keyTypes), ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256)

// publishedFiles renders the published keys: name below Dir to content. As with a State, nothing gets through that could
// become more than one line.
func (s *State) publishedFiles() (map[string][]byte, error) {
	out, n := make(map[string][]byte), 0
	for _, login := range slices.Sorted(maps.Keys(s.Published)) {
		if err := sekisho.CheckLogin(login); err != nil {
			return nil, err
		}
		if n += len(s.Published[login]); n > maxPublished {
			return nil, fmt.Errorf("more than %d keys", maxPublished)
		}
		var b bytes.Buffer
		for _, k := range s.Published[login] {
			line, err := k.line()
			if err != nil {
				return nil, fmt.Errorf("key %.40q of %s: %w", k.ID, login, err)
			}
			b.WriteString(line + "\n")
		}
		if b.Len() > maxFile {
			return nil, fmt.Errorf("keys of %s: more than %d bytes", login, maxFile)
		}
		if b.Len() > 0 {
			out[publishedDir+"/"+login] = b.Bytes()
		}
	}
	return out, nil
}

// line is the key as AuthorizedKeysCommand gives it. sshd itself holds the time, whatever becomes of the connector.
func (k *PublishedKey) line() (string, error) {
	if !sekisho.CheckID("pub", k.ID) {
		return "", errors.New("it has no ID")
	}
	key, err := parseLine(k.Key)
	if err != nil {
		return "", err
	}
	if !slices.Contains(publishedTypes, key.Type()) {
		return "", fmt.Errorf("key of type %.60q", key.Type())
	}
	if y := k.Expires.UTC().Year(); y < 2000 || y > 9999 {
		return "", errors.New("it has no time at which it expires")
	}
	options := []string{`expiry-time="` + k.Expires.UTC().Format(publishedForm) + `"`, "restrict"}
	for _, word := range k.Allow {
		if !slices.Contains(publishedAllow, word) {
			return "", fmt.Errorf("there is nothing called %.40q to be allowed", word)
		}
		options = append(options, word)
	}
	if len(k.From) > maxFrom {
		return "", fmt.Errorf("%d networks, want at most %d", len(k.From), maxFrom)
	}
	if len(k.From) > 0 {
		from, err := networks(k.From)
		if err != nil {
			return "", err
		}
		options = append(options, `from="`+from+`"`)
	}
	return strings.Join(options, ",") + " " + keyLine(key) + " " + k.ID, nil
}

// networks writes addresses and ranges anew, as sshd's "from" takes them.
func networks(from []string) (string, error) {
	var out []string
	for _, text := range from {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return "", fmt.Errorf("network %.60q: %w", text, err)
		}
		out = append(out, p.Masked().String())
	}
	return strings.Join(out, ","), nil
}

// publish writes the files of published keys and removes all others. What it does is not undone where the rest fails: a
// key that was withdrawn must not come back.
func (p *place) publish(files map[string][]byte) (changed bool, err error) {
	if _, err := p.dir.Lstat(publishedDir); errors.Is(err, fs.ErrNotExist) && len(files) == 0 {
		return false, nil
	}
	if err := makeDir(p.dir, publishedDir); err != nil {
		return false, err
	}
	entries, err := fs.ReadDir(p.dir.FS(), publishedDir)
	if err != nil {
		return false, fmt.Errorf("list %s: %w", publishedDir, err)
	}
	var errs []error
	for _, e := range entries { // first, whatever becomes of the others
		if name := publishedDir + "/" + e.Name(); files[name] == nil {
			changed = true
			errs = append(errs, p.dir.RemoveAll(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		did, err := p.publishFile(name, files[name])
		changed = changed || did
		errs = append(errs, err)
	}
	return changed, errors.Join(errs...)
}

func (p *place) publishFile(name string, content []byte) (changed bool, err error) {
	if old, err := readPlain(p.dir, name); err == nil && bytes.Equal(old, content) {
		return false, nil
	}
	if err := replace(p.dir, name, content); err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	return true, nil
}

// publishable gives the files of published keys, or nothing and why this host cannot serve them.
func (h *Host) publishable(ctx context.Context, s *State) (map[string][]byte, error) {
	files, err := s.publishedFiles()
	if err != nil || len(files) == 0 {
		return nil, err
	}
	if err := checkFinder(h.layout.Find); err != nil {
		return nil, err
	}
	return files, h.checkVersion(ctx)
}

// checkFinder holds the program that hands the keys to sshd to what sshd wants of it: root's, and nobody else's to write.
func checkFinder(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s on this host, by which sshd gets them: install findutils, or say where it is", path)
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 || info.Mode().Perm()&0o001 == 0 || ok && owner.Uid != 0 {
		return fmt.Errorf("%s must be root's, be run by everybody and be written by root alone, or sshd does not run it", path)
	}
	return nil
}

var sshVersion = regexp.MustCompile(`OpenSSH_([0-9]{1,3})\.([0-9]{1,3})`)

// checkVersion asks sshd for its version: the time at which a key expires can be told in UTC since OpenSSH 9.1, and
// earlier ones refuse such a key. Versions before 9.2 take -V for a mistake and tell theirs nevertheless.
func (h *Host) checkVersion(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	out, _ := exec.CommandContext(ctx, h.layout.SSHD, "-V").CombinedOutput()
	m := sshVersion.FindSubmatch(out)
	if m == nil {
		return nil // another build's version is its own affair: it refuses what it cannot read
	}
	major, _ := strconv.Atoi(string(m[1]))
	minor, _ := strconv.Atoi(string(m[2]))
	if major > 9 || major == 9 && minor >= 1 {
		return nil
	}
	return fmt.Errorf("sshd is %s, which cannot read the time at which they expire: update it to 9.1 or later", m[0])
}

// publishedCommand is what sshd runs: find gives nothing, and no error, for logins that have no file.
func (l *Layout) publishedCommand(login string) []string {
	return []string{l.Find, l.Dir + "/" + publishedDir, "-type", "f", "-name", login, "-exec", "cat", "{}", "+"}
}

// commandUser is whom sshd runs it as. An sshd that is not root's can run it as nobody else.
func commandUser() string {
	if os.Geteuid() != 0 {
		if me, err := user.Current(); err == nil {
			return me.Username
		}
	}
	return "nobody"
}

// tryPublished runs the command as sshd will, and sees whether the keys come out. One login's tell it of all.
func (h *Host) tryPublished(ctx context.Context, files map[string][]byte) error {
	if len(files) == 0 {
		return nil
	}
	name := slices.Min(slices.Collect(maps.Keys(files)))
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	words := h.layout.publishedCommand(filepath.Base(name))
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir, cmd.WaitDelay = "/", time.Second
	if os.Geteuid() == 0 {
		id, err := credential(commandUser())
		if err != nil {
			return err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: id}
	}
	out, err := cmd.Output()
	if err == nil && bytes.Equal(out, files[name]) {
		return nil
	}
	return errors.Join(fmt.Errorf("user %s cannot read %s/%s, as sshd will want to: every folder on its way must be readable and "+
		"searchable for everybody", commandUser(), h.layout.Dir, name), err)
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err, err2)
}
