package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// offered are all algorithms that the SSH port may offer, each with the reason why a finding of ssh-audit's about it is
// accepted; without a reason none is. docs/security.md says the same.
var offered = map[string]string{
	"mlkem768x25519-sha256":            "newer than the ssh-audit of Debian 12",
	"kex-strict-s-v00@openssh.com":     "newer than the ssh-audit of Debian 12",
	"curve25519-sha256":                "not post-quantum: for clients without the hybrid",
	"curve25519-sha256@libssh.org":     "not post-quantum: for clients without the hybrid",
	"ecdh-sha2-nistp256":               "a NIST curve: for clients under FIPS",
	"ecdh-sha2-nistp384":               "a NIST curve: for clients under FIPS",
	"ecdh-sha2-nistp521":               "a NIST curve: for clients under FIPS",
	"diffie-hellman-group16-sha512":    "not post-quantum: for clients without elliptic curves",
	"diffie-hellman-group14-sha256":    "2048 bits, not post-quantum: the one that RFC 9142 says every SSH must have",
	"ssh-ed25519":                      "",
	"ssh-ed25519-cert-v01@openssh.com": "",
	"aes128-gcm@openssh.com":           "",
	"aes256-gcm@openssh.com":           "",
	"chacha20-poly1305@openssh.com":    "",
	"aes256-ctr":                       "",
	"aes192-ctr":                       "",
	"aes128-ctr":                       "",
	"hmac-sha2-256-etm@openssh.com":    "",
	"hmac-sha2-512-etm@openssh.com":    "",
	"hmac-sha2-256":                    "encrypt-and-MAC, which RFC 4253 prescribes: for clients without -etm",
	"hmac-sha2-512":                    "encrypt-and-MAC, which RFC 4253 prescribes: for clients without -etm",
}

// broken is what no table may let in: SHA-1 and MD5 in any part, CBC, RC4, 3DES, DSA, short tags, no encryption.
var broken = regexp.MustCompile(`sha1|md5|cbc|arcfour|3des|^ssh-rsa|^ssh-dss|umac-64|ripemd|blowfish|cast128|^none$`)

// Debian's ssh-audit looks at the SSH port, as itself, which says that it is OpenSSH, and as a client that the gateway
// does not know, which is offered more.
func TestSSHAudit(t *testing.T) {
	if _, err := exec.LookPath("ssh-audit"); err != nil {
		t.Fatal("ssh-audit is missing: apt-get install ssh-audit")
	}
	seen := make(map[string]bool)
	for name, port := range map[string]int{"as OpenSSH": shared.SSHPort, "as another": disguise(t, shared.SSHPort)} {
		t.Run(name, func(t *testing.T) {
			list := algorithms(t, port)
			for _, a := range list {
				seen[a] = true
				if _, ok := offered[a]; !ok || broken.MatchString(a) {
					t.Errorf("%s is offered", a)
				}
			}
			if !slices.Contains(list, "kex-strict-s-v00@openssh.com") {
				t.Error("strict key exchange is not offered")
			}
			for _, f := range findings(t, port) {
				if offered[f.algorithm] == "" {
					t.Errorf("ssh-audit finds: %s", f.line)
				}
			}
		})
	}
	for a := range maps.Keys(offered) {
		if !seen[a] {
			t.Errorf("%s is not offered any more", a)
		}
	}
}

// What is accepted here is explained there.
func TestSSHAuditIsExplained(t *testing.T) {
	page, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for a, why := range offered {
		if why != "" && !strings.Contains(string(page), "`"+a+"`") {
			t.Errorf("docs/security.md does not say why %s is accepted (%s)", a, why)
		}
	}
}

// sshAudit runs it and gives what it printed; its exit status tells how bad the worst finding is.
func sshAudit(t *testing.T, port int, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ssh-audit", append(args, "-p", strconv.Itoa(port), "127.0.0.1")...).CombinedOutput()
	const warnings, failures = 2, 3
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && (exit.ExitCode() == warnings || exit.ExitCode() == failures)) {
		t.Fatalf("ssh-audit: %v\n%s", err, out)
	}
	return out
}

// named is an algorithm in ssh-audit's JSON: a string, or from version 3 an object as well.
type named string

func (n *named) UnmarshalJSON(text []byte) error {
	var object struct{ Algorithm string }
	if json.Unmarshal(text, &object) == nil {
		*n = named(object.Algorithm)
		return nil
	}
	return json.Unmarshal(text, (*string)(n))
}

func algorithms(t *testing.T, port int) (list []string) {
	t.Helper()
	var told struct {
		Compression   []string
		Kex, Key, Enc []named
		Mac           []named
	}
	if err := json.Unmarshal(sshAudit(t, port, "-j"), &told); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(told.Compression, []string{"none"}) {
		t.Errorf("compression is %q", told.Compression)
	}
	for _, kind := range [][]named{told.Kex, told.Key, told.Enc, told.Mac} {
		if len(kind) == 0 {
			t.Fatalf("ssh-audit sees nothing of a kind: %+v", told)
		}
		for _, n := range kind {
			list = append(list, string(n))
		}
	}
	return list
}

type finding struct{ algorithm, line string }

// findings are ssh-audit's warnings and worse. The lines that only follow from them (what to remove) are left out.
func findings(t *testing.T, port int) (list []finding) {
	t.Helper()
	algorithm := ""
	subject := regexp.MustCompile(`^\((kex|key|enc|mac)\) (\S+)`)
	derived := regexp.MustCompile(`^(#|\((rec|nfo|fin)\)|!!! WARNING: unknown algorithm)`)
	for line := range strings.Lines(string(sshAudit(t, port, "-n", "-l", "warn"))) {
		if line = strings.TrimSpace(line); line == "" || derived.MatchString(line) {
			continue
		}
		if m := subject.FindStringSubmatch(line); m != nil {
			algorithm = m[2]
		} else if !strings.HasPrefix(line, "`-") { // a second finding about the same
			algorithm = ""
		}
		list = append(list, finding{algorithm, line})
	}
	return list
}

// disguise leads to a port and makes every client one that the gateway does not know.
func disguise(t *testing.T, port int) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go welcome(l, func(near net.Conn) { carryDisguised(near, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) })
	return l.Addr().(*net.TCPAddr).Port
}

// carryDisguised says another version for the client; ssh-audit does not get as far as proving what it said.
func carryDisguised(near net.Conn, address string) {
	far, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer far.Close()
	go func() {
		io.Copy(near, far)
		near.Close()
	}()
	first := make([]byte, 1024)
	n, err := near.Read(first)
	if err != nil {
		return
	}
	_, rest, _ := bytes.Cut(first[:n], []byte("\n"))
	far.Write(append([]byte("SSH-2.0-Nobody_1.0\r\n"), rest...))
	io.Copy(far, near)
}
