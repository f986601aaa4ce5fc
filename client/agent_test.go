package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/client"
)

// connected starts a Connect whose ssh has not asked the agent yet, and gives the agent's socket.
func connected(t *testing.T, p *person, c *client.Client) (socket string) {
	t.Helper()
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- c.Connect(ctx, client.ConnectOptions{Login: "ken", Host: "web1", Port: "22", In: in, Out: out})
	}()
	t.Cleanup(func() {
		cancel()
		stdin.Close()
		stdout.Close()
		if err := <-done; err != nil {
			t.Errorf("Connect: %v", err)
		}
	})
	if _, err := io.ReadFull(stdout, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(p.home, "run", "ken@web1.sock")
}

// Mallory gets at the socket and tries to have something else signed, or to change the agent.
func TestAgentSignsOnlyItsLogin(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	socket := connected(t, p, p.login())

	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket's mode %v: %v, want 0600", info.Mode(), err)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	a := agent.NewClient(conn)
	keys, err := a.List()
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys: %v %v, want one", keys, err)
	}
	for name, data := range map[string][]byte{
		"nothing":       nil,
		"text":          []byte("SSHSIG pay mallory"),
		"another login": authRequest("root", "publickey", keys[0]),
		"another way":   authRequest("ken", "hostbased", keys[0]),
		"cut":           authRequest("ken", "publickey", keys[0])[:60],
	} {
		if _, err := a.Sign(keys[0], data); err == nil {
			t.Errorf("%s was signed", name)
		}
	}
	orders := map[string]error{
		"add":        a.Add(agent.AddedKey{PrivateKey: testKey(t)}),
		"remove":     a.Remove(keys[0]),
		"remove all": a.RemoveAll(),
		"lock":       a.Lock([]byte("x")),
	}
	if _, err := a.Extension("session-bind@openssh.com", nil); err == nil {
		t.Error("extension was taken")
	}
	for name, err := range orders {
		if err == nil {
			t.Errorf("%s was obeyed", name)
		}
	}

	sig, err := a.Sign(keys[0], authRequest("ken", "publickey", keys[0]))
	if err != nil {
		t.Fatalf("the login itself: %v", err)
	}
	if err := keys[0].Verify(authRequest("ken", "publickey", keys[0]), sig); err != nil {
		t.Error(err)
	}
	if _, err := a.Sign(keys[0], authRequest("ken", "publickey", keys[0])); err == nil {
		t.Error("a second login was signed")
	}
	if keys, err := a.List(); err != nil || len(keys) != 0 {
		t.Errorf("afterwards: %v %v, want no keys", keys, err)
	}
}

func authRequest(login, method string, key *agent.Key) []byte {
	return append(ssh.Marshal(struct{ Session []byte }{make([]byte, 32)}), ssh.Marshal(struct {
		Type                  byte
		User, Service, Method string
		HasSignature          bool
		Algorithm             string
		Key                   []byte
	}{50, login, "ssh-connection", method, true, key.Format, key.Blob})...)
}

func TestStrangeNames(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	c := p.login()
	for _, o := range []client.ConnectOptions{
		{Login: "ken", Host: "../web1", Port: "22"},
		{Login: "../ken", Host: "web1", Port: "22"},
		{Login: "ken", Host: "web1;id", Port: "22"},
		{Login: "ken", Host: "web1", Port: "0"},
		{Login: "ken", Host: "web1", Port: "+22"},
		{Login: "ken", Host: "web1", Port: "22/x"},
		{Login: "ken", Host: "", Port: "22"},
		{Login: "ken", Host: strings.Repeat("a", 60) + "." + strings.Repeat("b", 60), Port: "22"},
	} {
		var refusal *sekisho.Refusal
		if err := c.Connect(t.Context(), o); !errors.As(err, &refusal) || refusal.Next == "" {
			t.Errorf("%s@%s:%s: %v, want a refusal that says what to do", o.Login, o.Host, o.Port, err)
		}
	}
}

// Whatever is signed must be a login as this person with this key: the bytes after the session's identifier are
// the request, to the last one of the key.
func FuzzAuthenticates(f *testing.F) {
	key := &agent.Key{Format: "ssh-ed25519-cert-v01@openssh.com", Blob: []byte("certificate")}
	good := authRequest("ken", "publickey", key)
	f.Add(good)
	f.Add(authRequest("root", "publickey", key))
	f.Add(append(authRequest("ken", "publickey-hostbound-v00@openssh.com", key), 0, 0, 0, 1, 'k'))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !client.Authenticates(data, "ken", key.Blob) {
			return
		}
		if !strings.Contains(string(data), "\x00\x00\x00\x03ken\x00\x00\x00\x0essh-connection") ||
			!strings.Contains(string(data), "\x00\x00\x00\x0bcertificate") {
			t.Errorf("%q would be signed", data)
		}
	})
}
