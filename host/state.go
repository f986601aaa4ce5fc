package host

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// Bounds of a State.
const (
	maxCAs        = 16
	maxLogins     = 1024
	maxPrincipals = 64 // for one login
)

// Names of the files below Layout.Dir.
const (
	caFile          = "trusted_user_ca"
	certificateFile = "host_certificate"
	principalsDir   = "principals"
)

// principalForm lets no byte in that AuthorizedPrincipalsFile gives a meaning to (sshd(8): options come before a
// principal, "#" begins a comment).
var principalForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9@._+=:-]{0,255}$`)

// files renders a State: name below Dir to content. It refuses whatever could become more than one line of what it is.
func (s *State) files(hostKey ssh.PublicKey) (map[string][]byte, error) {
	out := make(map[string][]byte)
	cas, err := s.caLines()
	if err != nil {
		return nil, err
	}
	out[caFile] = cas
	if len(s.Principals) > maxLogins {
		return nil, fmt.Errorf("principals for %d logins, want at most %d", len(s.Principals), maxLogins)
	}
	for _, login := range slices.Sorted(maps.Keys(s.Principals)) {
		if err := sekisho.CheckLogin(login); err != nil {
			return nil, err
		}
		lines, err := principalLines(s.Principals[login])
		if err != nil {
			return nil, fmt.Errorf("principals of %s: %w", login, err)
		}
		out[principalsDir+"/"+login] = lines
	}
	if s.HostCertificate != "" {
		line, err := certificateLine(s.HostCertificate, hostKey)
		if err != nil {
			return nil, fmt.Errorf("host certificate: %w", err)
		}
		out[certificateFile] = line
	}
	return out, nil
}

func (s *State) caLines() ([]byte, error) {
	// An empty list would lock everybody out, and looks just like a field that was forgotten.
	if len(s.TrustedUserCA) == 0 || len(s.TrustedUserCA) > maxCAs {
		return nil, fmt.Errorf("%d trusted CAs, want 1 to %d", len(s.TrustedUserCA), maxCAs)
	}
	var b bytes.Buffer
	for _, line := range s.TrustedUserCA {
		key, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("trusted CA: %w", err)
		}
		b.WriteString(keyLine(key) + "\n")
	}
	return b.Bytes(), nil
}

func principalLines(principals []string) ([]byte, error) {
	if len(principals) > maxPrincipals {
		return nil, fmt.Errorf("%d, want at most %d", len(principals), maxPrincipals)
	}
	var b bytes.Buffer
	for _, p := range slices.Sorted(slices.Values(principals)) {
		if !principalForm.MatchString(p) {
			return nil, fmt.Errorf("%.300q is no principal", p)
		}
		b.WriteString(p + "\n")
	}
	return b.Bytes(), nil
}

// keyTypes are the plain public keys that are let in.
var keyTypes = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA,
}

func parseKey(line string) (ssh.PublicKey, error) {
	key, err := parseLine(line)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(keyTypes, key.Type()) {
		return nil, fmt.Errorf("key of type %.60q", key.Type())
	}
	return key, nil
}

// parseLine parses one authorized_keys line that has no options.
func parseLine(line string) (ssh.PublicKey, error) {
	if len(line) > 16<<10 || strings.ContainsAny(line, "\n\r\x00") {
		return nil, errors.New("want one line with a public key")
	}
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, fmt.Errorf("parse public key: %w", err)
	}
	if len(options) > 0 || len(rest) > 0 {
		return nil, errors.New("want a public key and nothing else")
	}
	return key, nil
}

// keyLine writes a key anew, so that no byte of a comment gets through.
func keyLine(key ssh.PublicKey) string {
	return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n")
}

func certificateLine(line string, hostKey ssh.PublicKey) ([]byte, error) {
	key, err := parseLine(line)
	if err != nil {
		return nil, err
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok || cert.CertType != ssh.HostCert {
		return nil, errors.New("want a host certificate")
	}
	if !bytes.Equal(cert.Key.Marshal(), hostKey.Marshal()) {
		return nil, errors.New("it is for another key than this host's")
	}
	return []byte(keyLine(cert) + "\n"), nil
}

// dropIn is what makes sshd go by the files, and by nothing else.
func (l *Layout) dropIn(has parts) []byte {
	var b bytes.Buffer
	b.WriteString("# Written by sekisho-connector, which undoes what is changed here.\n")
	for _, s := range l.settings(has) {
		b.WriteString(s.name + " " + s.value + "\n")
	}
	return b.Bytes()
}

type setting struct{ name, value string }

// parts says which of the files that need not be there are.
type parts struct{ certificate, published, revocations bool }

func (l *Layout) settings(has parts) []setting {
	list := []setting{
		{"TrustedUserCAKeys", l.Dir + "/" + caFile},
		{"AuthorizedPrincipalsFile", l.Dir + "/" + principalsDir + "/%u"},
		{"AuthorizedPrincipalsCommand", "none"},
		{"AuthorizedKeysFile", "none"},
		{"AuthenticationMethods", "publickey"},
		{"PubkeyAuthentication", "yes"},
		{"PasswordAuthentication", "no"},
		{"KbdInteractiveAuthentication", "no"},
		{"HostbasedAuthentication", "no"},
	}
	if has.published {
		list = append(list, setting{"AuthorizedKeysCommand", strings.Join(l.publishedCommand("%u"), " ")}, setting{"AuthorizedKeysCommandUser", commandUser()})
	} else {
		list = append(list, setting{"AuthorizedKeysCommand", "none"})
	}
	if has.revocations {
		list = append(list, setting{"RevokedKeys", l.Dir + "/" + revokedFile})
	}
	if has.certificate {
		list = append(list, setting{"HostCertificate", l.Dir + "/" + certificateFile})
	}
	return list
}
