package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
	"github.com/sekisho/sekisho/tunnel"
)

// house is a control and a gateway, as small as they can be.
type house struct {
	apiv1connect.UnimplementedConnectorServiceHandler
	key      *ecdsa.PrivateKey
	ca       *x509.Certificate
	url      string
	registry *tunnel.Registry
	id       string
	userCA   string
	life     time.Duration // of link certificates

	mu     sync.Mutex
	synced []*apiv1.SyncRequest
	more   chan struct{}
}

func newHouse(t *testing.T, life time.Duration) *house {
	t.Helper()
	h := &house{id: sekisho.NewID("con"), life: life, more: make(chan struct{})}
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	userCA, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	h.userCA = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(userCA)))
	if h.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, h.key.Public(), h.key)
	if err != nil {
		t.Fatal(err)
	}
	if h.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	h.registry, err = tunnel.NewRegistry(tunnel.RegistryConfig{
		Authorize: func(context.Context, *x509.Certificate) (tunnel.Member, error) {
			return tunnel.Member{ID: h.id, Name: "host1", Targets: []string{"db1"}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.listen(t, der)
	return h
}

func (h *house) listen(t *testing.T, der []byte) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.url = "https://" + l.Addr().String()
	pool := x509.NewCertPool()
	pool.AddCert(h.ca)
	mux := http.NewServeMux()
	mux.Handle(apiv1connect.NewConnectorServiceHandler(h))
	srv := &http.Server{Handler: mux, ErrorLog: log.New(io.Discard, "", 0), TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){
		tunnel.ALPN: func(_ *http.Server, c *tls.Conn, _ http.Handler) { h.registry.Serve(c) },
	}}
	go srv.Serve(tls.NewListener(l, tunnel.ServerTLS(&tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: h.key}}, NextProtos: []string{"http/1.1"},
	}, pool)))
	t.Cleanup(func() {
		srv.Close()
		h.registry.Close()
	})
}

func (h *house) sign(csr []byte, life time.Duration) ([]byte, error) {
	r, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, err
	}
	uri, err := url.Parse("sekisho://connector/" + h.id)
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-30 * time.Minute), NotAfter: time.Now().Add(life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, URIs: []*url.URL{uri},
	}, h.ca, r.PublicKey, h.key)
}

func (h *house) Join(_ context.Context, r *connect.Request[apiv1.JoinRequest]) (*connect.Response[apiv1.JoinResponse], error) {
	if r.Header().Get("DPoP") == "" || r.Msg.Token != "join_secret" {
		return nil, connect.NewError(connect.CodeUnauthenticated, errors.New("This join token is not known. Ask for a new one."))
	}
	der, err := h.sign(r.Msg.Csr, h.life)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&apiv1.JoinResponse{
		Connector: h.id, Token: h.id + ".secret", LinkCertificate: der, Targets: []string{"db1"},
	}), nil
}

func (h *house) Sync(_ context.Context, r *connect.Request[apiv1.SyncRequest]) (*connect.Response[apiv1.SyncResponse], error) {
	if r.Header().Get("Authorization") != "DPoP "+h.id+".secret" {
		return nil, connect.NewError(connect.CodeUnauthenticated, errors.New("not joined"))
	}
	res := &apiv1.SyncResponse{IntervalSeconds: 60, Targets: []*apiv1.HostState{{
		Name: "db1", TrustedUserCa: []string{h.userCA},
		Principals: map[string]*apiv1.Principals{"root": {Principals: []string{"root:db1"}}},
	}}}
	if len(r.Msg.Csr) > 0 {
		der, err := h.sign(r.Msg.Csr, time.Hour)
		if err != nil {
			return nil, err
		}
		res.LinkCertificate = der
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.synced = append(h.synced, r.Msg)
	close(h.more)
	h.more = make(chan struct{})
	return connect.NewResponse(res), nil
}

// await waits for a sync that is as wanted.
func (h *house) await(t *testing.T, wanted func(*apiv1.SyncRequest) bool) {
	t.Helper()
	bound := time.After(30 * time.Second)
	for seen := 0; ; {
		h.mu.Lock()
		list, more := h.synced[seen:], h.more
		seen = len(h.synced)
		h.mu.Unlock()
		for _, r := range list {
			if wanted(r) {
				return
			}
		}
		select {
		case <-more:
		case <-bound:
			t.Fatalf("no such sync among %d", seen)
		}
	}
}

// configure writes a configuration for one target with an sshd of its own, and gives its path and folder.
func (h *house) configure(t *testing.T, address string) (path, dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "connector")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if _, err := os.Stat("/usr/sbin/sshd"); err != nil {
		t.Fatal("no sshd here: run dev/prepare.sh")
	}
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir+"/host_key").CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v %s", err, out)
	}
	write(t, dir+"/ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.ca.Raw})))
	write(t, dir+"/sshd_config", fmt.Sprintf("Include %s/drop-in.conf\nHostKey %s/host_key\n", dir, dir))
	path = dir + "/connector.yaml"
	write(t, path, fmt.Sprintf(`control: %s
ca_file: ca.pem
data: data
targets:
  - name: db1
    address: %s
    sshd: {config: sshd_config, drop_in: drop-in.conf, dir: sekisho, host_key: host_key.pub, reload: [touch, %s/reloaded]}
`, h.url, address, dir))
	return path, dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command runs the program as its user would.
func command(ctx context.Context, stdin string, args ...string) (code int, out string) {
	var b safeBuffer
	code = start(ctx, args, stdio{strings.NewReader(stdin), &b, &b})
	return code, b.String()
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestJoinRunAndDrain(t *testing.T) {
	// Two thirds of a link certificate that began 30 minutes ago and ends in 5 are over: it is renewed at once.
	h := newHouse(t, 5*time.Minute)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "SSH-2.0-target\r\n")
			c.Close()
		}
	}()
	config, dir := h.configure(t, l.Addr().String())

	if code, out := command(t.Context(), "", "--config", config); code != exitUsage || !strings.Contains(out, "join") {
		t.Errorf("run before join: exit %d, %s", code, out)
	}
	code, out := command(t.Context(), "mallory's guess", "join", "--config", config, "--token-file", "-")
	if code != exitFailed || !strings.Contains(out, "This join token is not known. Ask for a new one.") {
		t.Errorf("wrong token: exit %d, %s", code, out)
	}
	if code, out := command(t.Context(), "join_secret\n", "join", "--config", config, "--token-file", "-"); code != 0 {
		t.Fatalf("join: exit %d, %s", code, out)
	}
	for _, name := range []string{keyFile, identityFile} {
		if info, err := os.Stat(filepath.Join(dir, "data", name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if code, out := command(t.Context(), "join_secret", "join", "--config", config, "--token-file", "-"); code != exitUsage {
		t.Errorf("second join: exit %d, %s", code, out)
	}
	if code, out := command(t.Context(), "", "--config", config, "--check"); code != 0 || !strings.Contains(out, "trusts 0 CAs") {
		t.Errorf("check: exit %d, %s", code, out)
	}
	h.run(t, config, dir)
}

// run starts the daemon, sees it do its duties, and ends it.
func (h *house) run(t *testing.T, config, dir string) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var said safeBuffer
	go func() { ended <- start(ctx, []string{"--config", config}, stdio{strings.NewReader(""), &said, &said}) }()
	h.await(t, func(r *apiv1.SyncRequest) bool { return len(r.Csr) > 0 })
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(h.userCA))
	if err != nil {
		t.Fatal(err)
	}
	h.await(t, func(r *apiv1.SyncRequest) bool {
		return len(r.Csr) == 0 && r.Targets[0].Trusts == ssh.FingerprintSHA256(key) && strings.HasPrefix(r.Targets[0].HostKey, "ssh-ed25519 ")
	})
	if _, err := os.Stat(dir + "/reloaded"); err != nil {
		t.Error("sshd was not reloaded")
	}
	b, err := os.ReadFile(dir + "/sekisho/principals/root")
	if err != nil || string(b) != "root:db1\n" {
		t.Errorf("principals %q, %v", b, err)
	}
	c := h.dial(t)
	if b, err := io.ReadAll(c); err != nil || string(b) != "SSH-2.0-target\r\n" {
		t.Errorf("through the link: %q, %v", b, err)
	}
	c.Close()
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit %d", code)
	}
	if h.registry.Linked("db1") {
		t.Error("still linked")
	}
	if strings.Contains(said.String(), ".secret") {
		t.Error("the token is in the log")
	}
	if t.Failed() {
		t.Log(said.String())
	}
}

func (h *house) dial(t *testing.T) net.Conn {
	t.Helper()
	for bound := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := h.registry.Dial(t.Context(), "db1")
		if err == nil {
			return c
		}
		if time.Now().After(bound) {
			t.Fatal(err)
		}
	}
}

func TestBadConfigurationsAreShown(t *testing.T) {
	good := "control: https://127.0.0.1:8443\ndata: /tmp/x\ntargets:\n  - {name: db1, address: 127.0.0.1:22}\n"
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":      {good + "allow_all: true\n", "5 | allow_all: true\n       ^"},
		"http":             {strings.Replace(good, "https", "http", 1), "want https://"},
		"path":             {strings.Replace(good, "8443", "8443/x", 1), "want https://"},
		"no targets":       {"control: https://h\ndata: d\n", "want at least one"},
		"target twice":     {good + "  - {name: db1, address: 127.0.0.1:23}\n", "twice"},
		"bad name":         {strings.Replace(good, "db1", "DB_1", 1), "lower-case host name"},
		"no port":          {strings.Replace(good, ":22", "", 1), "host:port"},
		"no such CA":       {good + "ca_file: /nonexistent\n", "ca_file"},
		"log level":        {good + "log_level: loud\n", "log_level"},
		"sshd half said":   {strings.Replace(good, ":22}", ":22, sshd: {dir: /etc/ssh/sekisho}}", 1), "want a plain absolute path"},
		"sshd no reload":   {strings.Replace(good, ":22}", ":22, sshd: {dir: /e/s, drop_in: /e/d.conf, config: /e/c, host_key: /e/k.pub}}", 1), "want exactly one"},
		"host key of both": {strings.Replace(good, ":22}", ":22, host_key: /k, sshd: {}}", 1), "name it in sshd"},
	} {
		path := t.TempDir() + "/c.yaml"
		write(t, path, c.text)
		if code, out := command(t.Context(), "", "--config", path); code != exitUsage || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, %s\nwant %q", name, code, out, c.want)
		}
	}
	if code, _ := command(t.Context(), "", "--config", "/nonexistent"); code != exitUsage {
		t.Errorf("no file: exit %d", code)
	}
	if code, _ := command(t.Context(), "", "join"); code != exitUsage {
		t.Errorf("no --config: exit %d", code)
	}
}

func TestAKeyThatOthersCanReadIsRefused(t *testing.T) {
	dir := t.TempDir()
	key, err := makeKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := makeKey(dir)
	if err != nil || !key.Equal(again) {
		t.Errorf("key was made twice: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, keyFile), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := loadKey(dir); err == nil {
		t.Error("a key that the group can read was loaded")
	}
}
