package krl_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/krl"
)

const sshd = "/usr/sbin/sshd"

// server is a stock sshd that trusts a user CA and a plain key, and asks a list.
type server struct {
	dir, address, login string
	userCA, hostCA, key ssh.Signer
	hostKey             ssh.PublicKey
	hostCertificate     *ssh.Certificate
}

func newServer(t *testing.T) *server {
	t.Helper()
	if _, err := os.Stat(sshd); err != nil {
		t.Fatal("no sshd here: run dev/prepare.sh")
	}
	if os.Getuid() == 0 { // sshd insists on it, and its service makes it
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{dir: t.TempDir(), address: freeAddress(t), login: me.Username, userCA: signer(t), hostCA: signer(t), key: signer(t)}
	keygen(t, "-q", "-t", "ed25519", "-N", "", "-f", s.dir+"/host_key")
	public, err := os.ReadFile(s.dir + "/host_key.pub")
	if err != nil {
		t.Fatal(err)
	}
	if s.hostKey, _, _, _, err = ssh.ParseAuthorizedKey(public); err != nil {
		t.Fatal(err)
	}
	s.hostCertificate = &ssh.Certificate{Key: s.hostKey, CertType: ssh.HostCert, Serial: 9, KeyId: "db1", ValidPrincipals: []string{"db1"}, ValidBefore: ssh.CertTimeInfinity}
	if err := s.hostCertificate.SignCert(rand.Reader, s.hostCA); err != nil {
		t.Fatal(err)
	}
	write(t, s.dir+"/host_key-cert.pub", ssh.MarshalAuthorizedKey(s.hostCertificate))
	write(t, s.dir+"/ca", ssh.MarshalAuthorizedKey(s.userCA.PublicKey()))
	write(t, s.dir+"/keys", ssh.MarshalAuthorizedKey(s.key.PublicKey()))
	_, port, _ := net.SplitHostPort(s.address)
	write(t, s.dir+"/config", fmt.Appendf(nil, "ListenAddress 127.0.0.1\nPort %s\nHostKey %[2]s/host_key\nHostCertificate %[2]s/host_key-cert.pub\nPidFile none\n"+
		"StrictModes no\nUsePAM no\nPasswordAuthentication no\nTrustedUserCAKeys %[2]s/ca\nAuthorizedKeysFile %[2]s/keys\nRevokedKeys %[2]s/krl\n", port, s.dir))
	return s
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run starts sshd with that list.
func (s *server) run(t *testing.T, list []byte) {
	t.Helper()
	s.put(t, list)
	if out, err := exec.Command(sshd, "-t", "-f", s.dir+"/config").CombinedOutput(); err != nil {
		t.Fatalf("sshd -t: %v: %s", err, out)
	}
	log, err := os.Create(s.dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, sshd, "-D", "-e", "-f", s.dir+"/config")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		log.Close()
		if text, _ := os.ReadFile(s.dir + "/log"); t.Failed() {
			t.Logf("%s", text)
		}
	})
	for bound := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", s.address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(bound) {
			t.Fatal(err)
		}
	}
}

// put gives sshd another list, or none: it reads the file for each log-in.
func (s *server) put(t *testing.T, list []byte) {
	t.Helper()
	if err := os.Remove(s.dir + "/krl"); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if list != nil {
		write(t, s.dir+"/krl", list)
	}
}

// certificate is one for the login with a fresh key.
func (s *server) certificate(t *testing.T, serial uint64, id string) ssh.Signer {
	t.Helper()
	key := signer(t)
	c := &ssh.Certificate{
		Key: key.PublicKey(), CertType: ssh.UserCert, Serial: serial, KeyId: id,
		ValidPrincipals: []string{s.login}, ValidBefore: ssh.CertTimeInfinity,
	}
	if err := c.SignCert(rand.Reader, s.userCA); err != nil {
		t.Fatal(err)
	}
	auth, err := ssh.NewCertSigner(c, key)
	if err != nil {
		t.Fatal(err)
	}
	return auth
}

// lets says whether sshd lets that key or certificate in. Any error but sshd's refusal ends the test.
func (s *server) lets(t *testing.T, auth ssh.Signer) bool {
	t.Helper()
	client, err := ssh.Dial("tcp", s.address, &ssh.ClientConfig{
		User: s.login, Auth: []ssh.AuthMethod{ssh.PublicKeys(auth)}, HostKeyCallback: ssh.FixedHostKey(s.hostKey),
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}, Timeout: 20 * time.Second,
	})
	if err == nil {
		client.Close()
		return true
	}
	if !strings.Contains(err.Error(), "unable to authenticate") {
		t.Fatal(err)
	}
	return false
}

// A stock sshd refuses what the list has, and that only, as Revoked says.
func TestRealLogins(t *testing.T) {
	s := newServer(t)
	s.run(t, marshal(t, &krl.List{}))
	byKey, byHash := s.certificate(t, 1, "a"), s.certificate(t, 1, "a")
	ways := map[string]ssh.Signer{
		"key": s.key, "certificate": s.certificate(t, 1, "alice"), "serial": s.certificate(t, 5, "alice"), "range": s.certificate(t, 70000, "alice"),
		"bitmap": s.certificate(t, 101, "alice"), "beside the bitmap": s.certificate(t, 102, "alice"), "key ID": s.certificate(t, 1, "mallory"),
		"certificate by key": byKey, "certificate by hash": byHash,
	}
	plain := func(a ssh.Signer) ssh.PublicKey { return a.PublicKey().(*ssh.Certificate).Key }
	ca := func(a krl.Authority) *krl.List {
		a.Key = s.userCA.PublicKey()
		return &krl.List{Authorities: []krl.Authority{a}}
	}
	for name, l := range map[string]*krl.List{
		"nothing":   {},
		"serials":   ca(krl.Authority{Serials: append(krl.Serials(5, 101, 103, 105, 107), krl.Range{First: 60000, Last: 1 << 40}), KeyIDs: []string{"mallory"}}),
		"any CA":    {Authorities: []krl.Authority{{KeyIDs: []string{"mallory"}}}},
		"keys":      {Keys: []ssh.PublicKey{s.key.PublicKey(), plain(byKey)}, SHA256: [][32]byte{sha256.Sum256(plain(byHash).Marshal())}},
		"CA":        {Keys: []ssh.PublicKey{s.userCA.PublicKey()}},
		"CA's hash": {SHA256: [][32]byte{sha256.Sum256(s.userCA.PublicKey().Marshal())}},
	} {
		s.put(t, marshal(t, l))
		refused := 0
		for way, auth := range ways {
			why, revoked := l.Revoked(auth.PublicKey())
			if in := s.lets(t, auth); in == revoked {
				t.Errorf("list of %s, %s: sshd lets it in: %v; we say %q", name, way, in, why)
			}
			if revoked {
				refused++
			}
		}
		if want := map[string]int{"serials": 4, "any CA": 1, "keys": 3, "CA": 8, "CA's hash": 8}[name]; refused != want {
			t.Errorf("list of %s: %d are refused, want %d", name, refused, want)
		}
	}
}

// What sshd makes of a file that is no list: the package comment says it, and whoever writes the file relies on it.
func TestDamage(t *testing.T) {
	s := newServer(t)
	bad, good := s.certificate(t, 5, "mallory"), s.certificate(t, 6, "alice")
	list := marshal(t, &krl.List{
		Authorities: []krl.Authority{{Key: s.userCA.PublicKey(), Serials: krl.Serials(5)}},
		Keys:        []ssh.PublicKey{signer(t).PublicKey()},
	})
	s.run(t, list)
	flipped := func(at int, bit byte) []byte {
		b := append([]byte{}, list...)
		b[at] ^= bit
		return b
	}
	first := len(list) - 5 - 4 - len(signer(t).PublicKey().Marshal()) // where the section of keys begins
	const nobody, everybody = "nobody", "everybody"
	for _, c := range []struct {
		name string
		file []byte
		lets string
		read bool // whether Parse takes it
	}{
		{"whole", list, "good", true},
		{"missing", nil, nobody, false},
		{"cut in the magic", list[:5], nobody, false},
		{"cut in the header", list[:20], nobody, false},
		{"cut in the certificates", list[:first-3], nobody, false},
		{"cut in the keys", list[:len(list)-1], nobody, false},
		{"cut between sections", list[:first], "good", true},
		{"cut after the header", list[:44], everybody, true},
		{"more behind it", append(list[:len(list):len(list)], 0), nobody, false},
		{"another magic", flipped(1, 1), nobody, false},
		{"another version", flipped(11, 2), nobody, false},
		{"another length", flipped(48, 1), nobody, false},
		{"another section", flipped(44, 8), nobody, false},
		{"another serial", flipped(first-1, 64), everybody, true},
		{"empty", []byte{}, everybody, false},
		{"zeros", make([]byte, len(list)), everybody, false},
		{"a comment", []byte("# moved\n"), everybody, false},
		{"text", []byte("moved\n"), nobody, false},
		{"half a signature", append(list[:len(list):len(list)], section(4, string(s.userCA.PublicKey().Marshal()))...), nobody, false},
	} {
		s.put(t, c.file)
		got := map[[2]bool]string{{true, true}: everybody, {true, false}: "good", {false, false}: nobody}[[2]bool{s.lets(t, good), s.lets(t, bad)}]
		if got != c.lets {
			t.Errorf("%s: sshd lets in %q, want %q", c.name, got, c.lets)
		}
		if _, err := krl.Parse(c.file); (err == nil) != c.read {
			t.Errorf("%s: parsed: %v", c.name, err)
		}
	}
}

// A stock ssh refuses a host whose certificate, key or CA is revoked.
func TestRealHosts(t *testing.T) {
	s := newServer(t)
	s.run(t, marshal(t, &krl.List{}))
	write(t, s.dir+"/known_hosts", append([]byte("@cert-authority db1 "), ssh.MarshalAuthorizedKey(s.hostCA.PublicKey())...))
	_, port, _ := net.SplitHostPort(s.address)
	authority := krl.Authority{Key: s.hostCA.PublicKey()}
	of := func(serials ...uint64) *krl.List {
		a := authority
		a.Serials = krl.Serials(serials...)
		return &krl.List{Authorities: []krl.Authority{a}}
	}
	for name, l := range map[string]*krl.List{
		"nothing": {}, "another serial": of(8), "serial": of(7, 9), "key ID": {Authorities: []krl.Authority{{KeyIDs: []string{"db1"}}}},
		"key": {Keys: []ssh.PublicKey{s.hostKey}}, "CA": {SHA256: [][32]byte{sha256.Sum256(s.hostCA.PublicKey().Marshal())}},
	} {
		path := write(t, t.TempDir()+"/krl", marshal(t, l))
		out, _ := exec.Command("ssh", "-F", "none", "-v", "-p", port, "-o", "HostKeyAlias=db1", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
			"-o", "UserKnownHostsFile="+s.dir+"/known_hosts", "-o", "GlobalKnownHostsFile=none", "-o", "IdentityFile=none", "-o", "IdentityAgent=none",
			"-o", "RevokedHostKeys="+path, "nobody@127.0.0.1", "true").CombinedOutput()
		refused, known := strings.Contains(string(out), "revoked by file"), strings.Contains(string(out), "Permission denied")
		if _, revoked := l.Revoked(s.hostCertificate); revoked != refused || known == refused {
			t.Errorf("%s: ssh refuses %v, we %v: %s", name, refused, revoked, out)
		}
	}
}
